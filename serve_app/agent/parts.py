"""What the stages of the pipeline share: the configuration and everything that they call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from configs.schema import AgentConfig
from serve_app.agent.base import AgentClient
from serve_app.agent.drafting import Drafter
from serve_app.agent.helper import Helper
from serve_app.agent.run import Run
from serve_app.agent.states import Loop, WebMode
from serve_app.agent.web_queries import WebUse
from serve_app.evaluation.base import Judge
from serve_app.evaluation.calibration import Calibrations
from serve_app.messages import AgentEvent
from serve_app.retrieval.base import KnowledgeClient
from serve_app.sessions.base import SessionStore
from serve_app.websearch.base import WebSearch

Events = AsyncGenerator[AgentEvent]
# For stages that tell nothing and must be generators all the same.
NO_EVENTS: tuple[AgentEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """The pipeline's dependencies; what is None is not configured, and its states are never entered."""

    config: AgentConfig
    drafter: Drafter
    knowledge: KnowledgeClient
    calibrations: Calibrations
    make_nonce: Callable[[], str]
    web: WebSearch | None = None
    web_use: WebUse = field(default=WebUse(), kw_only=True)
    judge: Judge | None = None
    helper: Helper | None = None
    sessions: SessionStore | None = None
    task: AgentClient | None = None

    def can_loop(self, run: Run, loop: Loop) -> bool:
        """Whether the run may do this once more, and there is what does it."""
        needs = {Loop.WEB: self.web, Loop.REWRITE: self.helper, Loop.REGENERATE: self.judge}
        has_time_and_count = run.can_loop(loop, self.config.max_loops, self.config.budget.min_loop_s)
        return needs[loop] is not None and has_time_and_count

    def searches(self, mode: WebMode) -> bool:
        """Whether the web is searched for this at all."""
        return self.web is not None and mode in self.web_use.modes

    def can_search(self, run: Run, mode: WebMode) -> bool:
        """Whether the run may search the web for this now."""
        return self.searches(mode) and self.can_loop(run, Loop.WEB)
