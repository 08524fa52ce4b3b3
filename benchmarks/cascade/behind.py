"""An application before the two made-up models, with a cascade of them: what a group does, and not only what it would.

Knows nothing of how the group decides; it is asked over HTTP, as the models are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.application import started, write_profile
from benchmarks.cascade.stand_in import LARGE, SMALL

GROUP = "cascade"


@contextmanager
def behind_a_group(upstream: str, min_mean_logprob: float) -> Iterator[str]:
    """The address of the application while the block runs.

    Args:
        upstream: the models' address, without `/v1`.
        min_mean_logprob: of the small one's answers that are sent.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    with tempfile.TemporaryDirectory(prefix="cascade-") as folder:
        profile = Path(folder) / "profile.yaml"
        write_profile(profile, platform(upstream, min_mean_logprob))
        with started(profile) as fresh:
            yield fresh.url


def platform(upstream: str, min_mean_logprob: float) -> dict[str, Any]:
    """The application's configuration."""
    address = {"engine": "external", "base_url": f"{upstream}/v1"}
    group = {
        "name": GROUP,
        "cascade": {
            "small": SMALL,
            "large": LARGE,
            "min_mean_logprob": min_mean_logprob,
            "code_is_hard": False,
        },
    }
    return {
        "models": [{"name": name, "upstream_model": name, **address} for name in (SMALL, LARGE)],
        "embedder": {"name": "embedder", "engine": "mock"},
        "knowledge": {"store": {"kind": "memory"}},
        "agent": {"name": "manta", "models": [SMALL]},
        "front": {"groups": [group]},
    }
