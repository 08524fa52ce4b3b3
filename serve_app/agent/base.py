"""The contract of the agent, as the ingress sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from serve_app.messages import AgentEvent, AgentQuestion, RequestContext


class AgentClient(Protocol):
    """Answers questions from the knowledge base."""

    def answer(self, question: AgentQuestion, context: RequestContext) -> AsyncIterator[AgentEvent]:
        """Events of one run, in order; the last one is `answer.final`, unless the run raises.

        The deltas' texts together are always the beginning of the final text, but for a question that is
        `is_optimistic`: there `answer.revised` may replace them. Citations are those of the answer, or the
        nearest passages of an abstention. Flags are those of `serve_app.agent.states.Flag`, the run's states
        those of `State`. A stage that is entered twice tells its events twice.

        Types and data:
            run.started    {run_id, agent, model}
            route          {route: chitchat|kb|fresh|task|refuse, reason}
            retrieval      {n, ids, scores, withheld, flags, took_ms}
            grade          {verdict: correct|ambiguous|incorrect, features, calibration}
            rewrite        {queries}
            web            {mode: first|augment|replace, queries, n, urls}
            evaluation     {verdict: pass|unfaithful|off_topic|unknown, judge, evaluator, metrics}; `evaluator`
                            is `builtin`, or `ragas` and its version
            answer.delta   {text}
            answer.revised {text}
            citation       {n, passage_id, document_id, source, path, title, headings, page, quote,
                            and where known: uri, start, end (characters of the document's text)}
            answer.final   {text, outcome: answered|degraded|abstained|paused, citations, flags, notes, usage,
                            model, run: [{state, ms}], evaluations (of its drafts, where a judge saw any: as the
                            events), trace_id (where there is a trace)}
            error          OpenAI's error body: what the ingress makes of an error that is raised

        A task is handed to a declared agent, whose events then come in between (`serve_app.agents.base`);
        where that waits for a person, the outcome is `paused`.

        Closing the iterator cancels everything below it.

        Raises:
            BadRequest: an empty or overlong question, a turn that is no text, an unknown filter.
            Conflict: another turn of the same session was faster.
            DeadlineExceeded: the time was over before the run began.
        """
        ...
