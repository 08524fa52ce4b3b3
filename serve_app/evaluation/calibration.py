"""A calibration of stage A: from features of a retrieval to the probability that it answers.

    p = 1 / (1 + exp(-(bias + sum of weight * feature)))

It holds for one embedding model, because cosines of another one lie elsewhere, and for knowledge bases
like the one that it was fitted on, because BM25 grows with the corpus: none ships with Manta. What fits
it is `serve_app.evaluation.fit`; what a probability is compared with are its own two thresholds.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_app.errors import ConfigError
from serve_app.evaluation.features import NAMES, Features
from serve_app.messages import JsonObject

_VERSION = 1
_MAX_LOGIT = 60.0  # beyond it exp() says nothing more


class Weight(BaseModel):
    """What a feature adds to the logit."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight: float
    if_missing: float  # the feature's value where there is none: its mean over the examples


class Calibration(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: int = Field(default=_VERSION, ge=_VERSION, le=_VERSION)
    embedding_id: str  # empty: coefficients by judgement, for any embedder
    bias: float
    weights: dict[str, Weight]
    correct_at: float = Field(ge=0, le=1)
    incorrect_below: float = Field(ge=0, le=1)
    fitted_on: JsonObject = {}  # collections and counts
    cross_validated: JsonObject = {}  # figures on examples that the fit had not seen


# A starting point for an embedder that nobody has calibrated: set for all-MiniLM-L6-v2, whose best cosines
# are near 0.6 for passages that answer and below 0.3 for strangers.
JUDGEMENT = Calibration(
    embedding_id="",
    bias=-4.8,
    weights={
        "top_cosine": Weight(weight=8.0, if_missing=0.0),
        "coverage": Weight(weight=2.0, if_missing=0.0),
        "agreement": Weight(weight=0.8, if_missing=0.0),
    },
    correct_at=0.6,
    incorrect_below=0.25,
)


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Which calibration holds for which embedder."""

    own: Calibration | None = None  # named in the configuration

    def pick(self, embedding_id: str | None) -> Calibration | None:
        """The one for this embedder; None if the configured one is of another."""
        if self.own is None:
            return JUDGEMENT
        return self.own if embedding_id in (None, self.own.embedding_id) else None


def probability(features: Features, calibration: Calibration) -> float | None:
    """The logistic of the features. None without a cosine: the rest alone is not what was calibrated."""
    if features.value("top_cosine") is None:
        return None
    logit = calibration.bias
    for name, weight in calibration.weights.items():
        value = features.value(name)
        logit += weight.weight * (weight.if_missing if value is None else value)
    return 1.0 / (1.0 + math.exp(-max(-_MAX_LOGIT, min(_MAX_LOGIT, logit))))


def read(path: Path) -> Calibration:
    """The calibration of a file.

    Raises:
        ConfigError: it cannot be read, or is none; the message names the file.
    """
    try:
        found = Calibration.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: no calibration: {place}: {first['msg']}") from exc
    unknown = sorted(found.weights.keys() - set(NAMES))
    if unknown:
        raise ConfigError(f"{path}: no such feature: {', '.join(unknown)}")
    return found


def write(path: Path, calibration: Calibration) -> None:
    """Write the file.

    Raises:
        ConfigError: it cannot be written.
    """
    text = json.dumps(calibration.model_dump(), indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def calibrations(path: str | None) -> Calibrations:
    """What the configuration names, if it names one.

    Raises:
        ConfigError: the file cannot be read.
    """
    return Calibrations(None if path is None else read(Path(path).expanduser()))
