"""A calibration as a file: the service model for simulations, how well it fits, and how it was made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from pydantic import ValidationError

from benchmarks.errors import BenchmarkError
from benchmarks.results_folder import machine, write_json
from benchmarks.simulate.calibration.fit import Calibration
from configs.simulation import ServiceModel


def write_calibration(path: Path, calibration: Calibration, made: Mapping[str, object]) -> None:
    """Write it. `made` says on what, with which runs."""
    write_json(
        path,
        {
            "service": calibration.service.model_dump(mode="json"),
            "fit": msgspec.to_builtins(calibration.fit),
            "made": {
                "time_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": machine(),
                **made,
            },
        },
    )


def read_service(path: Path) -> ServiceModel:
    """The service model of a calibration's file.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
        return ServiceModel.model_validate(document["service"])
    except (OSError, msgspec.DecodeError, KeyError, ValidationError) as exc:
        raise BenchmarkError(f"{path} holds no calibration: {exc}") from exc
