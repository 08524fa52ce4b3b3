"""`python -m benchmarks.overhead.ray_llm_server CONFIG --port N`: an application of ray.serve.llm, to compare with.

Runs in vLLM's environment, not in Manta's: that library imports vLLM into its own replicas. CONFIG is JSON, the
argument of `build_openai_app`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.overhead.own_ray import serve_until_told


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, required=True, help="of loopback")
    arguments = parser.parse_args()

    def build() -> Any:
        from ray.serve.llm import build_openai_app

        return build_openai_app(json.loads(arguments.config.read_text()))

    serve_until_told(build, "llm", "/", arguments.port)


if __name__ == "__main__":
    main()
