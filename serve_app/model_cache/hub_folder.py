"""A model's repository on a hub, at one commit: its files with the checksums that the hub states for them.

The protocol is the Hugging Face hub's: `/api/models/REPO/tree/COMMIT` lists files with their git object
ids, and SHA-256 and size of the large ones; `/REPO/resolve/COMMIT/FILE` serves them, large ones by a
redirect to another host, which gets no token (https://huggingface.co/docs/hub/api, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import httpx
from obstore.store import HTTPStore

from configs.load import Hub
from configs.schema import HubFolder
from serve_app.errors import ConfigError, Unavailable
from serve_app.model_cache.remote import CLIENT, RETRY, Checksum, RemoteFile, RemoteFolder

# A hub that cannot be reached must be known at once.
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_WHY = {  # the hub's own code -> the key at fault and what to say
    "RevisionNotFound": ("revision", "has no commit {revision} of {repo}"),
    "RepoNotFound": ("repo", "has no {repo}, or it is private; HF_TOKEN names who asks"),
    "GatedRepo": (
        "repo",
        "asks for its terms to be accepted before {repo} is read; HF_TOKEN names who accepted",
    ),
}


def open_hub(weights: HubFolder, hub: Hub, key: str) -> RemoteFolder:
    """The files that `include` and `exclude` choose.

    Raises:
        ConfigError: the hub has no such repository or commit, we may not read it, or nothing is chosen.
        Unavailable: the hub cannot be reached.
    """
    headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
    url = f"{hub.endpoint}/api/models/{weights.repo}/tree/{weights.revision}?recursive=true"
    with httpx.Client(timeout=_TIMEOUT, headers=headers, follow_redirects=True) as client:
        listed = [entry for entry in _entries(client, url, weights, key) if entry.get("type") == "file"]
    files = tuple(_file(entry, weights) for entry in listed if _is_chosen(str(entry["path"]), weights))
    if not files:
        raise ConfigError(f"{key}.include: chooses none of the {len(listed)} files of {weights.repo}")
    _check_pins(files, weights, key)
    client_options = CLIENT | {"allow_http": hub.endpoint.startswith("http://")}
    if headers:
        client_options["default_headers"] = headers
    store = HTTPStore.from_url(hub.endpoint, client_options=client_options, retry_config=RETRY)
    return RemoteFolder(f"{weights.repo}@{weights.revision}", f"{key}.revision", store, files)


def _entries(client: httpx.Client, url: str, weights: HubFolder, key: str) -> Iterator[dict[str, Any]]:
    """Of all pages of the listing."""
    next_url: str | None = url
    while next_url:
        try:
            response = client.get(next_url)
        except httpx.TransportError as exc:
            host = httpx.URL(url).host
            raise Unavailable(
                f"{key}.repo: the hub {host} cannot be reached for {weights.repo}: {exc or type(exc).__name__} "
                "(HF_ENDPOINT names another one)"
            ) from exc
        _check(response, weights, key)
        try:
            page = response.json()
            yield from (dict(entry) for entry in page)
        except (ValueError, TypeError) as exc:
            raise ConfigError(
                f"{key}.repo: {response.url.host} answers with no list of files; is HF_ENDPOINT a hub?"
            ) from exc
        next_url = response.links.get("next", {}).get("url")


def _check(response: httpx.Response, weights: HubFolder, key: str) -> None:
    status, host = response.status_code, response.url.host
    if status == 200:
        return
    if status == 429 or status >= 500:
        raise Unavailable(
            f"{key}.repo: {host} cannot list {weights.repo} at the moment (HTTP {status})",
            _retry_after_s(response),
        )
    code = response.headers.get("X-Error-Code", "")
    if code not in _WHY:
        code = {401: "RepoNotFound", 403: "GatedRepo", 404: "RevisionNotFound"}.get(status, "")
    field, words = _WHY.get(code, ("repo", "answered for {repo}"))
    raise ConfigError(
        f"{key}.{field}: {host} {words.format(repo=weights.repo, revision=weights.revision)} (HTTP {status})"
    )


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 5.0


def _is_chosen(path: str, weights: HubFolder) -> bool:
    wanted = any(fnmatchcase(path, pattern) for pattern in weights.include)
    return wanted and not any(fnmatchcase(path, pattern) for pattern in weights.exclude)


def _file(entry: dict[str, Any], weights: HubFolder) -> RemoteFile:
    """Large files are known by their SHA-256; the object id of such an entry is of the pointer in git."""
    path, lfs = str(entry["path"]), entry.get("lfs")
    stated = Checksum("sha256", lfs["oid"]) if lfs else Checksum("git", entry["oid"])
    pinned = weights.checksums.get(path)
    return RemoteFile(
        path=path,
        object_path=f"{weights.repo}/resolve/{weights.revision}/{path}",
        num_bytes=int(lfs["size"] if lfs else entry["size"]),
        checksums=(stated, Checksum("sha256", pinned)) if pinned else (stated,),
    )


def _check_pins(files: tuple[RemoteFile, ...], weights: HubFolder, key: str) -> None:
    """Refuse a pin of a file that is not fetched, and one that the hub's own word already contradicts."""
    by_path = {file.path: file for file in files}
    for path, pinned in weights.checksums.items():
        if path not in by_path:
            raise ConfigError(f"{key}.checksums: {path!r} is none of the files that are fetched")
        stated = by_path[path].checksums[0]
        if stated.kind == "sha256" and stated.value != pinned:
            raise ConfigError(
                f"{key}.checksums: {path} has the checksum {stated.value[:16]}... on the hub, "
                f"not the pinned {pinned[:16]}..."
            )
