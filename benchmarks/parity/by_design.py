"""What may differ, and why. The table that a report shows; docs/vllm.md says the same in words.

A rule names cases and fields; what it covers is counted apart and never as equal. A rule that covers nothing in a whole
run is reported too: then Manta is nearer to vLLM than it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Rule:
    """Fields of cases that may differ."""

    cases: str  # pattern of names
    fields: str  # pattern of paths
    reason: str


_OWN_WORDS = (
    "the ingress must read this much of a request to know who answers it, and refuses it in its own words"
)
RULES = (
    Rule(
        "models", "body.*", "/v1/models lists what the whole application serves, and a vLLM knows one model"
    ),
    Rule("error-unknown-model", "body.*", _OWN_WORDS),
    Rule("error-no-model", "*", "`model` must be given: an application has several, and a vLLM has one"),
    Rule("error-body-is-*", "*", _OWN_WORDS),
    Rule("error-stream-is-text", "*", _OWN_WORDS),
    Rule("error-method", "body.*", _OWN_WORDS),
    Rule(
        "error-embeddings-of-generating-model", "*", "the ingress knows which model serves what, and says so"
    ),
    Rule("chat-of-pooling-model", "*", "the ingress knows which model serves what, and says so"),
    Rule("embeddings-bytes", "*", "answers travel between replicas as JSON or as events; bytes are refused"),
)


def rule_for(case: str, path: str, rules: tuple[Rule, ...] = RULES) -> Rule | None:
    """The rule that covers a field of a case, or None: it must be equal."""
    found = (rule for rule in rules if fnmatchcase(case, rule.cases) and fnmatchcase(path, rule.fields))
    return next(found, None)
