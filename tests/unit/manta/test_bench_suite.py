from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.scenarios.scenario import QUICK, Dials
from configs.load import ProfileError
from manta.commands.bench.suite import command, dials


def test_flags_win_over_the_defaults_and_over_quick() -> None:
    flags = {"duration_s": 60.0, "rate_rps": None, "ttft_ms": 300.0, "out": Path("x"), "names": ()}
    assert dials(flags, quick=False) == Dials(duration_s=60.0, ttft_ms=300.0)
    quick = dials(flags, quick=True)
    assert (quick.duration_s, quick.calibration_s) == (60.0, QUICK.calibration_s)
    assert dials({}, quick=True) == QUICK


def test_every_dial_has_a_flag_or_is_derived() -> None:
    flags = {parameter.name for parameter in command.params}
    internal = {"max_rate_rps", "max_error_share", "calibration_s", "timeout_s", "settle_s"}
    assert set(Dials.__dataclass_fields__) - internal <= flags


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p.yaml", "--only", "chaos"], "'chaos' is not one of"),
        (["p.yaml", "--duration", "0"], "is not in the range"),
        (["p.yaml", "--attainment", "2"], "is not in the range"),
        (["p.yaml", "--rate", "0"], "is not in the range"),
        ([], "Missing argument 'PROFILE'"),
    ],
)
def test_a_bad_flag_is_named(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_a_profile_that_is_not_there_is_told_before_anything_starts() -> None:
    done = CliRunner().invoke(command, ["nowhere.yaml"])
    assert isinstance(done.exception, ProfileError)
    assert str(done.exception) == "nowhere.yaml: no such file"
