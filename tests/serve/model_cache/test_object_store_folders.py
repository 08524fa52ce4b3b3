"""Model folders from S3: moto's server on loopback."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from configs.schema import StoreFolder
from serve_app.errors import ConfigError, Unavailable
from serve_app.model_cache.cache import ensure, locate

KEY = "models.tiny.weights"
SHARD = "model-00001-of-00002.safetensors"


def weights(bucket: Any, **changes: Any) -> StoreFolder:
    given = {"url": f"s3://{bucket.name}/llm/tiny", "endpoint": bucket.endpoint}
    return StoreFolder(**(given | changes))


def test_a_folder_comes_whole_and_is_found_again(tmp_path: Path, bucket: Any) -> None:
    files = bucket.put_model("llm/tiny")
    bucket.put("llm/tiny-other", {"config.json": b"of another folder"})
    path = ensure(weights(bucket), tmp_path)
    del files["SHA256SUMS"]
    assert {entry.name for entry in path.iterdir()} == files.keys() | {".manta.json"}
    assert all((path / name).read_bytes() == content for name, content in files.items())
    assert locate(weights(bucket, url=f"s3://{bucket.name}/llm/tiny/"), tmp_path) == path


def test_the_folders_sums_can_be_pinned(tmp_path: Path, bucket: Any) -> None:
    sums = bucket.put_model("llm/tiny")["SHA256SUMS"]
    with pytest.raises(
        ConfigError, match=rf"{KEY}\.sha256: SHA256SUMS of s3://\S+ has the checksum .* not the"
    ):
        ensure(weights(bucket, sha256="0" * 64), tmp_path, key=KEY)
    assert ensure(weights(bucket, sha256=hashlib.sha256(sums).hexdigest()), tmp_path).is_dir()
    bucket.put("bare", {"config.json": b"{}"})
    with pytest.raises(ConfigError, match=rf"{KEY}\.sha256: there is no SHA256SUMS in s3://models/bare"):
        ensure(weights(bucket, url="s3://models/bare", sha256="0" * 64), tmp_path, key=KEY)


def test_an_object_that_differs_from_the_sums_is_never_used(tmp_path: Path, bucket: Any) -> None:
    shard = bucket.put_model("llm/tiny")[SHARD]
    bucket.put("llm/tiny", {SHARD: shard[:-1] + bytes([shard[-1] ^ 1])})
    with pytest.raises(
        ConfigError, match=rf"{KEY}\.url: {SHARD} of s3://models/llm/tiny is not what was pinned"
    ):
        ensure(weights(bucket), tmp_path, key=KEY)
    assert locate(weights(bucket), tmp_path) is None
    bucket.put("llm/tiny", {SHARD: shard})
    assert (ensure(weights(bucket), tmp_path) / SHARD).read_bytes() == shard


def test_sums_that_list_what_is_not_there_are_named(tmp_path: Path, bucket: Any) -> None:
    bucket.put("llm/tiny", {"config.json": b"{}", "SHA256SUMS": f"{'0' * 64}  gone.safetensors\n".encode()})
    with pytest.raises(
        ConfigError, match=rf"{KEY}\.url: SHA256SUMS lists gone\.safetensors, which is not there"
    ):
        ensure(weights(bucket), tmp_path, key=KEY)
    bucket.put("llm/tiny", {"SHA256SUMS": b"hello\n"})
    with pytest.raises(ConfigError, match="has a line that is no checksum: 'hello'"):
        ensure(weights(bucket), tmp_path, key=KEY)


def test_a_folder_without_sums_is_taken_as_it_is(tmp_path: Path, bucket: Any) -> None:
    shard = bucket.put_model("elsewhere")[SHARD]
    bucket.put("llm/tiny", {"config.json": b"{}", SHARD: shard})
    path = ensure(weights(bucket), tmp_path)
    facts = json.loads((path / ".manta.json").read_text())
    assert facts["files"][SHARD]["sha256"] == hashlib.sha256(shard).hexdigest()


def test_half_of_a_model_is_refused(tmp_path: Path, bucket: Any) -> None:
    shard = bucket.put_model("elsewhere")[SHARD]
    bucket.put("llm/tiny", {"config.json": b"{}", SHARD: shard[:-10]})
    with pytest.raises(ConfigError, match=rf"{SHARD} is not whole: \d+ bytes of {len(shard)}"):
        ensure(weights(bucket), tmp_path, key=KEY)
    assert locate(weights(bucket), tmp_path) is None


def test_what_is_not_there_is_named(tmp_path: Path, bucket: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{KEY}\.url: there is nothing in s3://models/llm/tiny"):
        ensure(weights(bucket), tmp_path, key=KEY)
    with pytest.raises(ConfigError, match=rf"{KEY}\.url: there is no s3://none/x"):
        ensure(weights(bucket, url="s3://none/x"), tmp_path, key=KEY)


def test_a_store_that_refuses_us_is_named(tmp_path: Path, bucket: Any) -> None:
    bucket.put_model("llm/tiny")
    with pytest.raises(
        ConfigError, match=rf"{KEY}\.url: .* may not be read with the credentials here \(.*403"
    ):
        ensure(weights(bucket, anonymous=True), tmp_path, key=KEY)


def test_a_store_that_cannot_be_reached_is_named(tmp_path: Path, bucket: Any, free_port: Any) -> None:
    with pytest.raises(
        Unavailable, match=rf"{KEY}\.url: s3://models/llm/tiny cannot be fetched at the moment"
    ):
        ensure(weights(bucket, endpoint=f"http://127.0.0.1:{free_port()}"), tmp_path, key=KEY)
