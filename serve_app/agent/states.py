"""The states of a run and the moves between them, as data: a wrong move is an error, not a strange answer.

    RECEIVED -> GUARD_IN -> ROUTE -+- chitchat ------------------------------> GENERATE
                                   +- refuse ---------------------------------> GUARD_OUT
                                   +- task -> TASK ---------------------------> FINAL
                                   +- fresh -> WEB (and retrieval beside it) -> GENERATE
                                   `- kb -> RETRIEVE -> GRADE_CTX
    GRADE_CTX   correct -> GENERATE;  ambiguous -> WEB (augment) -> GENERATE
                incorrect -> REWRITE -> RETRIEVE, once; then WEB (replace) -> GENERATE; else GUARD_OUT
    GENERATE -> EVALUATE -+- pass, unknown ------> GUARD_OUT
    REGENERATE -^         +- unfaithful ---------> REGENERATE, once
                          +- off topic, or
                          |  found nothing ------> WEB (augment), once -> GENERATE
                          `- nothing left to try -> GUARD_OUT, degraded or abstained
    GUARD_OUT -> FINAL;   any state before GUARD_OUT -> DEADLINE -> GUARD_OUT;   any state -> CANCELLED

Rewrites, web rounds and further drafts share one counter.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run is."""

    RECEIVED = "received"
    GUARD_IN = "guard_in"
    ROUTE = "route"
    TASK = "task"
    RETRIEVE = "retrieve"
    GRADE_CTX = "grade_ctx"
    REWRITE = "rewrite"
    WEB = "web"
    GENERATE = "generate"
    EVALUATE = "evaluate"
    REGENERATE = "regenerate"
    DEADLINE = "deadline"
    GUARD_OUT = "guard_out"
    FINAL = "final"
    CANCELLED = "cancelled"


_FORWARD: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.GUARD_IN}),
    State.GUARD_IN: frozenset({State.ROUTE}),
    State.ROUTE: frozenset({State.RETRIEVE, State.WEB, State.GENERATE, State.GUARD_OUT, State.TASK}),
    State.TASK: frozenset({State.FINAL, State.GUARD_OUT}),
    # No knowledge base: the web, a model alone, or an abstention.
    State.RETRIEVE: frozenset({State.GRADE_CTX, State.WEB, State.GENERATE, State.GUARD_OUT}),
    State.GRADE_CTX: frozenset({State.GENERATE, State.REWRITE, State.WEB, State.GUARD_OUT}),
    State.REWRITE: frozenset({State.RETRIEVE, State.WEB, State.GENERATE, State.GUARD_OUT}),
    # A web that gave nothing new leads back to what there was before.
    State.WEB: frozenset({State.GENERATE, State.GRADE_CTX, State.GUARD_OUT}),
    State.GENERATE: frozenset({State.EVALUATE}),
    State.EVALUATE: frozenset({State.REGENERATE, State.WEB, State.GUARD_OUT}),
    State.REGENERATE: frozenset({State.EVALUATE}),
    State.DEADLINE: frozenset({State.GUARD_OUT}),
    State.GUARD_OUT: frozenset({State.FINAL}),
    State.FINAL: frozenset(),
    State.CANCELLED: frozenset(),
}
_SETTLED = frozenset({State.DEADLINE, State.GUARD_OUT, State.FINAL, State.CANCELLED})
MOVES: dict[State, frozenset[State]] = {
    state: to
    | (frozenset() if state in _SETTLED else {State.DEADLINE})
    | (frozenset() if state is State.CANCELLED else {State.CANCELLED})
    for state, to in _FORWARD.items()
}


class Loop(StrEnum):
    """What may be done again. Each at most once a run, and all of them count together."""

    REWRITE = "rewrite"
    WEB = "web"
    REGENERATE = "regenerate"


class WebMode(StrEnum):
    """What pages from the web are for."""

    FIRST = "first"  # a question about what is new: pages before passages
    AUGMENT = "augment"  # beside the passages
    REPLACE = "replace"  # instead of passages that do not fit, or are not there


class Flag(StrEnum):
    """What is unusual about an answer. Each but `unevaluated` makes it a degraded one."""

    LEXICAL_ONLY = "lexical_only"  # the embedder is down
    RERANK_SKIPPED = "rerank_skipped"  # the reranker was late or down: the passages are in the fusion's order
    STALE_SOURCE = "stale_source"  # it cites a source whose documents have changed since they were taken in
    KB_UNAVAILABLE = "kb_unavailable"
    WEB_UNAVAILABLE = "web_unavailable"
    SESSION_UNAVAILABLE = "session_unavailable"  # the turn knows nothing of those before, or is not kept
    MODEL_FALLBACK = "model_fallback"  # a later model of the list answered
    EXTRACTIVE = "extractive"  # quotes instead of a generated answer
    INTERRUPTED = "interrupted"  # the model broke off; the text so far is kept
    DEADLINE = "deadline"  # the time was over; the best so far is kept
    LOW_CONFIDENCE = "low_confidence"  # the passages do not seem to answer, or the answer not to fit
    UNGROUNDED = "ungrounded"  # answered without passages
    UNCITED = "uncited"  # a generated answer that names no passage
    UNCALIBRATED = "uncalibrated"  # the gate's calibration is of another embedder
    WITHHELD = "passage_withheld"  # a passage looked like instructions to a model
    REFUSED = "refused"  # a question that the agent does not take
    TASK_UNAVAILABLE = "task_unavailable"  # the agent for tasks gave no answer, or broke off
    UNEVALUATED = "unevaluated"  # no judge has looked at it, or it gave no verdict


class Outcome(StrEnum):
    """What became of the question."""

    ANSWERED = "answered"
    DEGRADED = "degraded"
    ABSTAINED = "abstained"
    PAUSED = "paused"  # a declared agent waits for a person
    CANCELLED = "cancelled"
