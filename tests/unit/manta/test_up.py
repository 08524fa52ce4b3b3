from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.load import parse_platform
from configs.schema import PlatformConfig
from manta.commands import up
from serve_app.errors import ConfigError


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    # The tests themselves may have been started with nohup.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Terminal:
    """A terminal that can be closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
        self.is_there = is_there
        monkeypatch.setattr(up, "_has_terminal", lambda: self.is_there)


def platform(**changes: Any) -> PlatformConfig:
    """With one model on vLLM."""
    model = {"name": "chat", "engine": "vllm", "weights": {"path": "/nowhere"}, **changes}
    return parse_platform(
        {
            "models": [model, {"name": "mock", "engine": "mock"}],
            "embedder": {"name": "embed", "engine": "mock", "dim": 8},
            "agent": {"name": "manta", "models": ["mock"]},
        }
    )


def test_what_a_vllm_needs_is_looked_at_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    with pytest.raises(ConfigError, match=r"^models\.chat\.python: there is no interpreter"):
        up.fetch_weights(platform(python=str(python)), with_optional=False)
    python.touch(mode=0o755)
    with pytest.raises(ConfigError, match=r"^models\.chat\.weights\.path: there is no /nowhere"):
        up.fetch_weights(platform(python=str(python)), with_optional=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    whole = {"python": str(python), "weights": {"path": str(tmp_path / "model")}}
    up.fetch_weights(platform(**whole), with_optional=False)
    up.fetch_weights(platform(optional=True, python=str(tmp_path / "nowhere")), with_optional=True)
    assert "chat is left out: models.chat.python: there is no interpreter" in capsys.readouterr().err


@pytest.mark.parametrize("is_there", [True, False])
def test_the_signal_asks_for_a_reload(monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
    Terminal(monkeypatch, is_there=is_there)
    hangups = up._hangups()
    with pytest.raises(queue.Empty):
        hangups.get_nowait()
    signal.raise_signal(signal.SIGHUP)
    hangups.get_nowait()


def test_a_terminal_that_closes_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, is_there=True)
    up._hangups()
    terminal.is_there = False
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)


def test_nohup_survives_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminal = Terminal(monkeypatch, is_there=True)
    hangups = up._hangups()
    terminal.is_there = False
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(queue.Empty):
        hangups.get_nowait()
