"""`python -m benchmarks.overhead.ray_server`: applications that `manta up` does not start, to compare it with.

    no-hop   the ingress with the engine in its own process, in the replica that HAProxy sends requests to: what
             Serve's door costs, without a handle or a channel
    whole    the application of `manta up`, here to be run in Serve's defaults

The only file of the measurement that knows the application: it runs as a process of its own, and what measures speaks
HTTP to it as to any other.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI

from benchmarks.overhead.own_ray import serve_until_told
from configs.load import Profile, read_profile
from configs.schema import PlatformConfig
from serve_app.engines.base import ModelEngine
from serve_app.engines.registry import open_model
from serve_app.ingress.app import create_app
from serve_app.ingress.services import Services
from serve_app.retrieval.base import KnowledgeClient


class NoHopIngress:
    """A replica of the ingress that holds the engines itself. It serves models and nothing else."""

    def __init__(self, config: PlatformConfig) -> None:
        engines: dict[str, ModelEngine] = {
            model.name: open_model(model, Path(), num_cpus=1) for model in config.models
        }
        self._config = config.ingress
        self._services = Services(
            models=engines,
            embedders={},
            agents={},
            knowledge=cast("KnowledgeClient", None),  # nobody asks for it here
            cards={name: engine.card() for name, engine in engines.items()},
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._config, self._services, echoes_request_id=False)


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("application", choices=("no-hop", "whole"))
    parser.add_argument("profile", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--serve-defaults", action="store_true", help="no HAProxy, no throughput mode")
    arguments = parser.parse_args()
    profile = read_profile(arguments.profile)
    serve_until_told(
        partial(_build, arguments.application, profile),
        profile.app_name,
        profile.route_prefix,
        arguments.port,
        is_fast=not arguments.serve_defaults,
    )


def _build(application: str, profile: Profile) -> Any:
    from ray import serve

    if application == "whole":
        from serve_app.app import build

        return build(profile.platform.model_dump(exclude_unset=True))
    # Not the class of __main__, which the replica's process does not have.
    from benchmarks.overhead.ray_server import NoHopIngress as Ingress

    scaling = profile.platform.ingress.scaling
    deployment = serve.deployment(
        name="NoHopIngress",
        num_replicas=scaling.min_replicas,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=scaling.max_ongoing_requests,
        max_queued_requests=scaling.max_queued_requests,
    )
    return deployment(serve.ingress()(Ingress)).bind(profile.platform)


if __name__ == "__main__":
    main()
