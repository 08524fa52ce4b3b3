from __future__ import annotations

import queue
import signal
from collections.abc import Iterator

import pytest

from manta.commands import up


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
