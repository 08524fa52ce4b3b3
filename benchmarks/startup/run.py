"""`python -m benchmarks startup`: seconds from the command to readiness, and the memory of all processes.

Memory is PSS: pages that processes share are counted once, in parts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import psutil

from benchmarks import results_folder
from benchmarks.application import CannotStart, started


def main() -> None:
    """Start the profile several times; print and keep each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, default=Path("configs/local.yaml"), help="what to start")
    parser.add_argument("--repeats", type=int, default=5, help="how often")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    arguments = parser.parse_args()
    try:
        records = [measure(arguments.profile) for _ in range(arguments.repeats)]
    except CannotStart as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    summary = {
        "repeats": len(records),
        "seconds_to_ready": _spread([record["seconds_to_ready"] for record in records]),
        "memory_mib": _spread([record["memory_mib"] for record in records]),
    }
    settings = {"profile": str(arguments.profile), "repeats": arguments.repeats}
    folder = results_folder.write(
        arguments.out, f"startup-{arguments.profile.stem}", settings, summary, records
    )
    print(f"{summary}\nraw records: {folder}")


def measure(profile: Path) -> dict[str, Any]:
    """One start: the whole, and each process."""
    with started(profile) as application:
        root = psutil.Process(application.process_id)
        processes: list[dict[str, Any]] = [
            {"name": _name(process), "mib": round(process.memory_full_info().pss / 2**20, 1)}
            for process in (root, *root.children(recursive=True))
        ]
    return {
        "seconds_to_ready": round(application.seconds_to_ready, 2),
        "memory_mib": round(sum(process["mib"] for process in processes)),
        "processes": processes,
    }


def _name(process: psutil.Process) -> str:
    """What the process is, without its arguments, which hold paths of the machine."""
    words = process.cmdline()
    is_ray = bool(words) and words[0].startswith("ray::")
    return words[0] if is_ray else process.name()


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
