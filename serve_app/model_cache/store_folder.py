"""A model's folder in an object store, with the checksums of its SHA256SUMS file if it has one."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import obstore
from obstore import store as stores

from configs.schema import StoreFolder
from serve_app.errors import ConfigError
from serve_app.model_cache.remote import CLIENT, RETRY, Checksum, RemoteFile, RemoteFolder, store_errors

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, S3Config

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")


def open_store(weights: StoreFolder, key: str) -> RemoteFolder:
    """The folder's files; with a SHA256SUMS file those that it lists, with their checksums.

    Raises:
        ConfigError: there is no such bucket or folder, we may not read it, or its SHA256SUMS is not the
            pinned one or lists what is not there.
        Unavailable: the store cannot be reached.
    """
    key_of_url = f"{key}.url"
    with store_errors(key_of_url, weights.url):
        store = _open(weights)
        listed = [entry for page in obstore.list(store) for entry in page if not entry["path"].endswith("/")]
    if not listed:
        raise ConfigError(f"{key_of_url}: there is nothing in {weights.url}")
    files = {
        entry["path"]: RemoteFile(entry["path"], entry["path"], entry["size"], (), entry["e_tag"])
        for entry in listed
    }
    sums = _sums(store, weights, key) if SUMS in files else None
    if sums is None and weights.sha256 is not None:
        raise ConfigError(f"{key}.sha256: there is no {SUMS} in {weights.url} that it could pin")
    chosen = _checked(files, sums, key_of_url) if sums is not None else tuple(files.values())
    return RemoteFolder(weights.url, key_of_url, store, chosen)


def _open(weights: StoreFolder) -> ObjectStore:
    client: ClientConfig = CLIENT | {
        "allow_http": bool(weights.endpoint and weights.endpoint.startswith("http://"))
    }
    if not weights.url.startswith("s3://"):
        return stores.from_url(
            weights.url, skip_signature=weights.anonymous, client_options=client, retry_config=RETRY
        )
    config: S3Config = {"skip_signature": weights.anonymous}
    if weights.endpoint:
        config["endpoint"] = weights.endpoint
    if weights.region:
        config["region"] = weights.region
    return stores.S3Store.from_url(
        weights.url.rstrip("/"), config=config, client_options=client, retry_config=RETRY
    )


def _sums(store: ObjectStore, weights: StoreFolder, key: str) -> dict[str, str]:
    """path -> SHA-256, from the folder's own list."""
    with store_errors(f"{key}.url", f"{SUMS} of {weights.url}"):
        content = bytes(obstore.get(store, SUMS).bytes())
    digest = hashlib.sha256(content).hexdigest()
    if weights.sha256 is not None and digest != weights.sha256:
        raise ConfigError(
            f"{key}.sha256: {SUMS} of {weights.url} has the checksum {digest[:16]}..., "
            f"not the pinned {weights.sha256[:16]}..."
        )
    lines = content.decode("utf-8", "replace").splitlines()
    matches = [(line, _LINE.fullmatch(line)) for line in lines if line.strip()]
    for line, match in matches:
        if match is None:
            raise ConfigError(
                f"{key}.url: {SUMS} of {weights.url} has a line that is no checksum: {line[:80]!r}"
            )
    return {match[2]: match[1] for _, match in matches if match}


def _checked(files: dict[str, RemoteFile], sums: dict[str, str], key: str) -> tuple[RemoteFile, ...]:
    missing = sorted(set(sums) - set(files))
    if missing:
        raise ConfigError(f"{key}: {SUMS} lists {missing[0]}, which is not there")
    return tuple(
        RemoteFile(path, path, files[path].num_bytes, (Checksum("sha256", value),), files[path].e_tag)
        for path, value in sums.items()
    )
