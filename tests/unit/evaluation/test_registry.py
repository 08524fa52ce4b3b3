from __future__ import annotations

import sys
from typing import Any

import pytest

from serve_app.errors import ConfigError
from serve_app.evaluation.model_judge import ModelJudge
from serve_app.evaluation.registry import open_judge

CLIENT: Any = object()


def test_the_built_in_judge_needs_nothing_installed() -> None:
    judge = open_judge("builtin", "j", CLIENT, None)
    assert isinstance(judge, ModelJudge)
    assert judge.name == "j"


def test_ragas_is_never_replaced_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "serve_app.evaluation.ragas_judge", raising=False)
    monkeypatch.setitem(sys.modules, "ragas", None)  # as if it were not installed
    with pytest.raises(ConfigError, match="pip install"):
        open_judge("ragas", "j", CLIENT, None)
