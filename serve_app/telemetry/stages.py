"""The states of an agent's run as spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from serve_app.agent.run import Run
from serve_app.telemetry.spans import Tracer, spanning

Around = Callable[[Run], AbstractContextManager[None]]


def stage_spans(tracer: Tracer) -> Around:
    """What goes around each stage of a run; the calls that the stage makes are inside of its span."""

    @contextmanager
    def around(run: Run) -> Iterator[None]:
        before = run.context
        with spanning(tracer, str(run.state), before, {"manta.num_loops": len(run.loops)}) as (_, own):
            run.context = own
            try:
                yield
            finally:
                run.context = before

    return around
