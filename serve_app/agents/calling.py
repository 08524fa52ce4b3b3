"""A call of a tool on behalf of a model: checked, bounded in time, told to the client, fenced.

Whatever goes wrong is a result that the model reads, and never the end of the run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from serve_app.agent.budget import within
from serve_app.agent.pages import WEB_SOURCE
from serve_app.agents.arguments import check
from serve_app.agents.base import Tool, ToolOutput, ToolSpec
from serve_app.agents.fence import WITHHELD
from serve_app.agents.run import AgentRun, Flag
from serve_app.errors import DeadlineExceeded, MantaError
from serve_app.grounding.prompt import Source
from serve_app.messages import AgentEvent, JsonObject, Passage

logger = logging.getLogger("manta.agents")

# (agent, tool, status, seconds) of every call that ended.
OnCall = Callable[[str, str, str, float], None]


@dataclass(frozen=True, slots=True)
class CallResult:
    """What the model reads."""

    text: str
    error: str | None = None  # in short, for the client; None: it went well

    @property
    def status(self) -> Literal["success", "error"]:
        return "success" if self.error is None else "error"


class Calling:
    """Makes the calls of one run."""

    def __init__(self, run: AgentRun, on_call: OnCall) -> None:
        self._run = run
        self._on_call = on_call

    async def call(self, tool: Tool, call_id: str, arguments: JsonObject | MantaError) -> CallResult:
        """The result of a call. Arguments that could not be read come as the error that says so."""
        run, name = self._run, tool.spec.name
        run.state.num_tool_calls += 1
        shown = {} if isinstance(arguments, MantaError) else arguments
        run.emit(AgentEvent("tool.started", {"call_id": call_id, "tool": name, "arguments": shown}))
        began_s, result = run.clock(), CallResult("", "stopped")
        try:
            result = await self._result(tool, arguments)
        finally:
            took_s = run.clock() - began_s
            run.state.trace.append({"state": f"tool:{name}", "ms": round(took_s * 1000, 3)})
            self._on_call(run.config.name, name, result.status, took_s)
            self._tell_end(call_id, name, result.status, took_s, result)
        return result

    def refuse(self, spec: ToolSpec, call_id: str, reason: str) -> str:
        """Tell the client of a call that is not made; what the model reads instead."""
        run = self._run
        run.emit(AgentEvent("tool.started", {"call_id": call_id, "tool": spec.name, "arguments": {}}))
        self._tell_end(call_id, spec.name, "refused", 0.0, CallResult("", reason))
        return reason

    def _tell_end(self, call_id: str, name: str, status: str, took_s: float, result: CallResult) -> None:
        data = {
            "call_id": call_id,
            "tool": name,
            "status": status,
            "took_ms": round(took_s * 1000, 3),
            "num_chars": len(result.text),
            "error": result.error,
        }
        self._run.emit(AgentEvent("tool.ended", data))

    async def _result(self, tool: Tool, arguments: JsonObject | MantaError) -> CallResult:
        spec, run = tool.spec, self._run
        try:
            if isinstance(arguments, MantaError):
                raise arguments
            check(arguments, spec.parameters)
            output = await within(
                lambda own: tool.call(arguments, own), run.context, spec.timeout_s, spec.name
            )
        except DeadlineExceeded:
            if run.context.deadline.remaining_s() <= 0:  # the run's own, as its next step finds out
                return CallResult("Error: the time is over", "the time is over")
            return self._failed(spec, f"{spec.name} took longer than {spec.timeout_s:g} s")
        except MantaError as exc:
            return self._failed(spec, exc.message)
        return self._fenced(spec, output)

    def _failed(self, spec: ToolSpec, message: str) -> CallResult:
        logger.info("%s: a call of %s failed: %s", self._run.config.name, spec.name, message)
        self._run.flag(Flag.TOOL_FAILED)
        return CallResult(f"Error: {message}", message)

    def _fenced(self, spec: ToolSpec, output: ToolOutput) -> CallResult:
        run = self._run
        if output.usage is not None:
            run.count_agent(output.usage)
        if output.passages:
            sources = run.add_passages(output.passages)
            text = "\n".join(map(self._shown, output.passages, sources))
            run.state.has_read_results = True
            return CallResult(text)
        fenced = run.fence.result(output.text, spec.max_result_chars)
        if fenced.is_withheld:
            run.flag(Flag.WITHHELD)
        else:
            run.read(fenced.text)
        if output.is_error:
            run.flag(Flag.TOOL_FAILED)
            return CallResult(fenced.text, f"{spec.name} says that it failed")
        return CallResult(fenced.text)

    def _shown(self, passage: Passage, source: Source) -> str:
        if self._run.fence.is_suspicious(source.text):
            self._run.flag(Flag.WITHHELD)
            return f"[{source.number}] {WITHHELD}"
        # Of a page only its own address may leave, and no link that stands in it.
        self._run.read(passage.path if passage.source == WEB_SOURCE else source.text)
        return self._run.fence.source(source)
