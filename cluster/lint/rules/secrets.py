"""No secret stands in the text of a manifest. A value is never repeated in a message."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cluster.lint.findings import Finding, Place, Severity
from cluster.lint.manifest import Manifest, at, items, mapping, warning
from cluster.lint.words import listed
from cluster.lint.world import RayCluster, World
from cluster.lint.yaml_text import Path

# What providers' keys look like; the words are those that secret scanners publish.
_KEYS = {
    "an access key of AWS": re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    "a token of Hugging Face": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "a token of GitHub": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})"),
    "a key of OpenAI or LiteLLM": re.compile(r"\bsk-(?!\.\.\.|x{3}|your|<)[A-Za-z0-9_-]{16,}"),
    "a token of Slack": re.compile(
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w{8,}"
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a signed token (JWT)": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\."),
    "a password in an address": re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s/:@$]+:(?!\$|<|\*|x{3,}|%|\{)[^\s/:@$]{3,}@"
    ),
}
_NAMES = re.compile(
    r"(?i)(^|_|-)(password|passwd|pwd|secret|secret_key|api_?key|access_?key|token|credentials?|private_?key|master_key|salt_key)$"
)
_FLAGS = re.compile(r"^--?(api-key|password|token|hf-token|secret|requirepass|auth-token)(=(?P<value>.+))?$")
# What stands for a value: another variable, a file, nothing, an invitation to fill it in.
_PLACE = re.compile(
    r"^(\$\(|\$\{|\$[A-Z_]|\{\{|<|os\.environ/|/|%|none$|null$|true$|false$|empty$|dummy$|x+$|\.\.\.|\*+$|\d{0,3}$|"
    r"your[-_ ]|change[-_ ]?me|replace[-_ ]|todo|fake|not[-_]used|no[-_]key|placeholder|insert[-_ ]|fill[-_ ]|put[-_ ]|"
    r"enter[-_ ]|redacted|tbd$|\(|-----BEGIN CERTIFICATE-----|ref\+|arn:)",
    re.IGNORECASE,
)
# Keys of a Secret whose values are none.
_PLAIN = re.compile(
    r"(?i)(^|[._-])(user(name)?|host(name)?|port|database|db(_?name)?|region|endpoint|bucket|url|uri)$"
)
# Files of settings within a ConfigMap, and one setting in one: `requirepass x`, `api_key: x`, `PASSWORD=x`.
_SETTINGS = re.compile(r"(?i)(\.(ya?ml|json|conf|cfg|ini|env|properties|toml)|^[^.]*)$")
_SETTING = re.compile(
    r"""(?im)^[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?"""
    r"""(?:(?P<redis>requirepass|masterauth)[ \t]+|["']?(?P<name>[\w.-]*?"""
    r"""(?:password|passwd|secret_?key|api_?key|access_?key|auth_?token|master_key|salt_key))["']?[ \t]*[:=][ \t]*)"""
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s#,]+)"""
)
_TAKE = "take it from a Secret: valueFrom.secretKeyRef"


def check(world: World) -> Iterator[Finding]:
    for manifest in world.manifests:
        if manifest.kind in ("ExternalSecret", "SealedSecret", "SecretStore", "ClusterSecretStore"):
            continue
        if manifest.kind == "Secret" and manifest.group == "":
            yield from _secret(manifest)
        elif manifest.kind != "CustomResourceDefinition":
            yield from _keys(manifest, manifest.data, ())
    for pods in world.pods:
        for path, container in pods.containers(with_init=True):
            yield from _environment(pods.owner, path, container)
            yield from _arguments(pods.owner, path, container)
    for cluster in world.ray_clusters:
        yield from _redis(cluster)
    for manifest in world.of("ConfigMap"):
        for key, value in mapping(manifest.get("data")).items():
            if _NAMES.search(key) and _is_value(value):
                yield _named(manifest, ("data", key), key)
            elif isinstance(value, str) and "\n" in value and _SETTINGS.search(key):
                yield from _settings(manifest, ("data", key), value)


def _settings(manifest: Manifest, path: Path, text: str) -> Iterator[Finding]:
    """Passwords and keys within a file of settings."""
    for match in _SETTING.finditer(text):
        value, name = match["value"].strip("\"'"), match["redis"] or match["name"]
        # A call is code that fetches it; a bracket begins what says where it is.
        if _is_value(value) and "(" not in value and value[0] not in "{[|>&*!" and _provider(value) is None:
            place = _line_within(manifest, path, text.count("\n", 0, match.start("value")))
            message = f"the value of {name} stands in the file"
            yield Finding(Severity.WARNING, "secrets/value", place, message, _TAKE, manifest.title)


def _redis(cluster: RayCluster) -> Iterator[Finding]:
    for group in cluster.groups:
        if _is_value(group.start_params.get("redis-password")):
            path: Path = (*group.path, "rayStartParams", "redis-password")
            yield _named(cluster.owner, path, "redis-password")
    path = ("gcsFaultToleranceOptions", "redisPassword", "value")
    if _is_value(at(cluster.spec, *path)):
        yield _named(cluster.owner, (*cluster.path, *path), "redisPassword")


def _secret(manifest: Manifest) -> Iterator[Finding]:
    """Values of a Secret: what a provider's key looks like by itself, all others in one finding."""
    named: list[tuple[Path, str]] = []
    for part in ("data", "stringData"):
        for key, text in mapping(manifest.get(part)).items():
            value = _decoded(text) if part == "data" else text
            if not _is_value(value):
                continue
            found = _provider(value)
            if found is not None:
                yield _revoke(manifest.place(part, str(key)), found[0], manifest)
            elif not _PLAIN.search(str(key)) and "BEGIN CERTIFICATE" not in str(value)[:40]:
                named.append(((part, str(key)), str(key)))
    if named:
        whose = "value" if len(named) == 1 else "values"
        message = f"the {whose} of {listed((key for _, key in named), 4)} stand{'s' * (len(named) == 1)} in the file"
        fix = "keep them in a store, and name it in an ExternalSecret; base64 hides nothing"
        yield warning("secrets/secret", manifest, named[0][0], message, fix)


def _decoded(text: object) -> object:
    try:
        return (
            base64.b64decode("".join(text.split()), validate=True).decode() if isinstance(text, str) else text
        )
    except (binascii.Error, ValueError):
        return text


def _environment(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    for index, entry in enumerate(items(container.get("env"))):
        name, value = mapping(entry).get("name"), mapping(entry).get("value")
        if isinstance(name, str) and _NAMES.search(name) and _is_value(value) and _provider(value) is None:
            yield _named(owner, (*path, "env", index, "value"), name)


def _arguments(owner: Manifest, path: Path, container: Mapping[str, Any]) -> Iterator[Finding]:
    for key in ("command", "args"):
        words = items(container.get(key))
        for index, word in enumerate(words):
            match = _FLAGS.match(word) if isinstance(word, str) else None
            if match is None:
                continue
            value = match["value"] or (words[index + 1] if index + 1 < len(words) else None)
            if _is_value(value) and not str(value).startswith("-") and _provider(value) is None:
                yield _named(owner, (*path, key, index), match[1])


def _named(owner: Manifest, path: Path, name: str) -> Finding:
    return warning("secrets/value", owner, path, f"the value of {name} stands in the file", _TAKE)


def _is_value(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not _PLACE.match(value.strip())


def _keys(manifest: Manifest, value: object, path: Path) -> Iterator[Finding]:
    """Texts anywhere in the object that look like somebody's key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _keys(manifest, item, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keys(manifest, item, (*path, index))
    elif isinstance(value, str):
        found = _provider(value)
        if found is not None:
            what, start = found
            place = _line_within(manifest, path, value.count("\n", 0, start))
            yield _revoke(place, what, manifest)


def _revoke(place: Place, what: str, manifest: Manifest) -> Finding:
    fix = "revoke it, and take the new one from a Secret"
    return Finding(
        Severity.WARNING, "secrets/value", place, f"{what} stands in the file", fix, manifest.title
    )


def _line_within(manifest: Manifest, path: Path, num_lines: int) -> Place:
    place = manifest.place(*path)
    first = manifest.origin(path).text_line
    return place if first is None else replace(place, line=first + num_lines)


def _provider(text: object) -> tuple[str, int] | None:
    """What kind of key is in the text, and where it begins."""
    if isinstance(text, str):
        for what, pattern in _KEYS.items():
            match = pattern.search(text)
            if match is not None:
                return what, match.start()
    return None
