"""The state TASK: a question that wants something done goes to an agent with tools, which the configuration names.

Its events pass through, and its text as it stands: it is guarded there, and cites what was found there.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from serve_app.agent import prompts
from serve_app.agent.parts import Events, Parts
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, State
from serve_app.errors import DeadlineExceeded, EngineFailed, MantaError
from serve_app.streams import close, until_deadline

logger = logging.getLogger("manta.agent")

# The pipeline has its own of these.
_OWN = frozenset({"run.started", "citation", "answer.final"})


class Tasks:
    """Hands a task over."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def task(self, run: Run) -> Events:
        agent = self._parts.task
        assert agent is not None
        # The conversation is the pipeline's own, and the turns of it that fit are in the history.
        answer = agent.answer(replace(run.question, session_id=None), run.context)
        # It keeps to the deadline by itself; the timer is for one that hangs.
        events = until_deadline(answer, run.context.deadline, "task")
        try:
            async for event in events:
                if event.type == "answer.delta":
                    run.draft += event.data["text"]
                    run.sent += event.data["text"]
                if event.type not in _OWN:
                    yield event
                elif event.type == "answer.final":
                    run.hand_over(event)
            if run.handed is None:
                raise EngineFailed("the agent for tasks ended without an answer")
        except MantaError as exc:
            logger.warning("the agent for tasks gave no answer: %s", exc)
            if not run.sent:
                run.context.deadline.check("task")
                run.flag(Flag.TASK_UNAVAILABLE)
                run.abstain(prompts.TASK_UNAVAILABLE)
                run.move(State.GUARD_OUT)
                return
            # Text that has left stays, whatever ended it.
            run.flag(Flag.DEADLINE if isinstance(exc, DeadlineExceeded) else Flag.TASK_UNAVAILABLE)
            run.flag(Flag.INTERRUPTED)
        finally:
            await close(events)
        run.move(State.FINAL)
