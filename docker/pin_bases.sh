#!/bin/sh
# Writes the present digest of every image behind its tag in bases.env. Needs docker with buildx, and the registries.
#
#   pin_bases.sh           fetch and write
#   pin_bases.sh --check   fetch nothing; fail if one has no digest
set -eu
file="$(dirname "$0")/bases.env"

if [ "${1:-}" = "--check" ]; then
    if unpinned="$(grep -E '^[A-Z_]+=' "$file" | grep -vE '@sha256:[0-9a-f]{64}$')"; then
        printf '%s\n' "$unpinned" >&2
        echo "pin_bases.sh: the images above have no digest; run docker/pin_bases.sh and commit bases.env" >&2
        exit 1
    fi
    exit 0
fi

pinned="$(mktemp)"
trap 'rm -f "$pinned"' EXIT
while IFS= read -r line; do
    case "$line" in
        [A-Z]*=*)
            tagged="${line%@*}"
            digest="$(docker buildx imagetools inspect "${tagged#*=}" --format '{{.Manifest.Digest}}')"
            line="$tagged@$digest"
            ;;
    esac
    printf '%s\n' "$line"
done < "$file" > "$pinned"
cat "$pinned" > "$file"
