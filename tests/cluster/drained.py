"""A Serve application of one deployment that says when it learns that it is drained. Run by test_draining."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

import ray
from ray import serve

from serve_app.draining import Draining

MARGIN_S = 3.0


@serve.deployment(graceful_shutdown_timeout_s=8.0, ray_actor_options={"num_cpus": 0})
class Drained:
    """One replica whose only request ends when its grace time is nearly over."""

    def __init__(self) -> None:
        self._draining = Draining()

    async def is_draining(self) -> bool:
        return self._draining.is_draining()

    async def wait(self) -> tuple[bool, float]:
        """Whether it was drained before the request ended, and the wall clock's time at its end."""
        await self._draining.grace_over(MARGIN_S)
        return self._draining.is_draining(), time.time()

    async def __del__(self) -> None:
        await self._draining.close()


async def main(folder: str) -> None:
    """Print whether it drained before and at the end, and the seconds from the deletion to the end."""
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=folder,
    )
    serve.start(proxy_location="Disabled")
    # On a thread, because it makes handles of its own; ours is made on the loop, as the throughput mode wants.
    await asyncio.to_thread(serve.run, Drained.bind(), name="drained", route_prefix=None)
    handle: Any = serve.get_app_handle("drained")
    before = await handle.is_draining.remote()
    response = handle.wait.remote()
    await handle.is_draining.remote()  # by now it waits
    began_s = time.time()
    serve.delete("drained", _blocking=False)
    at_end, ended_s = await response
    sys.stdout.write(f"told: {before} {at_end} {ended_s - began_s:.3f}\n")
    ray.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
