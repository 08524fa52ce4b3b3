from __future__ import annotations

import importlib.machinery
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serve_app.errors import ConfigError
from serve_app.evaluation.model_judge import ModelJudge
from serve_app.evaluation.registry import INSTALL_RAGAS, open_judge

CLIENT: Any = object()
IMPORTED = ("ragas.embeddings.base", "ragas.llms.base", "ragas.metrics")


@pytest.fixture
def without_ragas(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    for name in ("ragas", *IMPORTED):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "serve_app.evaluation.ragas_judge", raising=False)


@pytest.mark.usefixtures("without_ragas")
@pytest.mark.parametrize("evaluator", ["builtin", "auto"])
def test_the_built_in_judge_needs_nothing_installed_and_says_that_it_is_it(evaluator: Any) -> None:
    judge = open_judge(evaluator, "j", CLIENT, None)
    assert isinstance(judge, ModelJudge)
    assert (judge.name, judge.evaluator) == ("j", "builtin")


@pytest.mark.usefixtures("without_ragas")
def test_ragas_is_never_replaced_in_silence() -> None:
    with pytest.raises(ConfigError, match="make ragas"):
        open_judge("ragas", "j", CLIENT, None)


def test_what_is_installed_and_broken_is_not_replaced_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "serve_app.evaluation.ragas_judge", raising=False)
    broken = ModuleType("ragas")  # without what is imported from it
    broken.__spec__ = importlib.machinery.ModuleSpec("ragas", None)
    monkeypatch.setitem(sys.modules, "ragas", broken)
    for name in IMPORTED:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match="make ragas"):
        open_judge("auto", "j", CLIENT, None)


def test_the_way_to_install_it_is_there() -> None:
    root = Path(__file__).parents[3]
    verb, folder = (
        re.findall(r"`make (\w+)`", INSTALL_RAGAS)[0],
        re.findall(r"(\S+)/bin/manta", INSTALL_RAGAS)[0],
    )
    makefile = (root / "Makefile").read_text()
    assert f"\n{verb}: " in makefile
    assert f":= {folder}\n" in makefile
    pinned = locked(root / "requirements-ragas.lock")
    assert pinned["ragas"] == "0.4.3"  # what `ragas_judge` is written for
    # What the application has is not there twice, but for what RAGAS holds back.
    assert pinned.keys() & locked(root / "requirements.lock").keys() == {"rich"}


def locked(lock: Path) -> dict[str, str]:
    """package -> version"""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))
