"""A tokenizer for tools that do not start without one, laid out as a model hub's cache: nothing is downloaded.

Its words are made up. What tools do with it is count and make prompts; the server's usage counts tokens.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

NAME = "local/words"  # as tools ask the hub for it
_REVISION = "0" * 39 + "1"
_END = "<|end|>"
_SYLLABLES = tuple("".join(pair) for pair in itertools.product("bdfgklmnprstv", "aeiou"))


def make_home(folder: Path) -> Path:
    """Make `folder`, a home of the hub's client (HF_HOME) with the tokenizer in its cache; returns its files."""
    cached = folder / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = cached / "snapshots" / _REVISION
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(_REVISION, encoding="utf-8")
    _trained().save(str(snapshot / "tokenizer.json"))
    _write(
        snapshot / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        model_max_length=131_072,
        eos_token=_END,
        pad_token=_END,
        chat_template="{% for message in messages %}{{ message['content'] }}\n{% endfor %}",
    )
    # Loaders of any transformers version want to know a model's kind before they read a tokenizer.
    _write(snapshot / "config.json", model_type="gpt2")
    return snapshot


def _trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=[_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def _texts() -> Iterator[str]:
    draw = random.Random(1)  # noqa: S311 (no secret)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.choice((1, 2, 3)))) for _ in range(900)]
    for _ in range(500):
        yield " ".join(draw.choices(words, k=40))


def _write(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(fields), encoding="utf-8")
