"""Flags become settings, and those that make no sense are named."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.reference_server.__main__ import settings_from
from benchmarks.reference_server.faults import FAULTS
from benchmarks.reference_server.settings import Settings


def test_without_flags_settings_are_the_defaults() -> None:
    assert settings_from([]) == Settings()


def test_every_setting_has_a_flag() -> None:
    flags = (
        "--port 1 --model a --ttft-ms 2 --tpot-ms 3 --output-tokens 4 --jitter 0.5 --seed 6 "
        "--prefill-us-per-token 7 --extra-ttft-ms 8 --max-concurrent 9 --embedding-dimensions 10 "
        "--processes 11 --log b --ready-file c --stop-with-stdin"
    )
    given, default = settings_from(flags.split()), Settings()
    for field in dataclasses.fields(Settings):
        assert getattr(given, field.name) != getattr(default, field.name), field.name


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port", "65536"),
        ("--ttft-ms", "-1"),
        ("--tpot-ms", "nan"),
        ("--tpot-ms", "fast"),
        ("--output-tokens", "0"),
        ("--jitter", "inf"),
        ("--max-concurrent", "0"),
        ("--processes", "1.5"),
    ],
)
def test_a_flag_that_makes_no_sense_is_named(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings_from([f"{flag}={value}"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert flag in said
    assert value in said


def test_help_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_from(["--help"])
    said = capsys.readouterr().out
    for name, fault in FAULTS.items():
        assert name in said
        assert fault.description in said
