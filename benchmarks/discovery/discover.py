"""What a server is and can do, found out before anything is measured.

Is it there, which model is asked, does each endpoint of the workload work, what does it refuse. A fault
that would spoil the measurement raises; one that only takes something away is noted for the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import httpx

from benchmarks.discovery.abilities import Ability, probe_ability
from benchmarks.discovery.probe import Answer, Probe
from benchmarks.endpoints import PATHS, Kind
from benchmarks.errors import BadTarget
from benchmarks.prompts.tokenize_endpoint import Dialect, find_dialect
from configs.workload import Workload

MODELS_PATH = "/v1/models"
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class Ask:
    """An endpoint that a workload uses, with the model it names; None: the command's."""

    kind: Kind
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of /v1/models. What OpenAI's format does not have is None where the server does not say it.

    Args:
        endpoints: paths that serve it (Manta).
        context_tokens: vLLM's max_model_len, Manta's context_tokens.
    """

    name: str
    endpoints: tuple[str, ...] | None = None
    context_tokens: int | None = None

    def fits(self, kind: Kind) -> bool:
        """Whether the endpoint may serve it, as far as the list says."""
        return self.endpoints is None or PATHS[kind] in self.endpoints


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Args:
        model: what requests without a model of their own ask; "" where there are none.
        models: None: the server has no list.
        abilities: one for each endpoint and model of the workload.
        tokenize: model -> the form of /tokenize that serves it; models without one are absent.
        notes: what a reader of the results should know.
    """

    url: str
    model: str
    models: tuple[ListedModel, ...] | None
    abilities: tuple[Ability, ...]
    tokenize: dict[str, Dialect]
    notes: tuple[str, ...]

    @property
    def can_hold_length(self) -> bool:
        """Whether every generating endpoint may be sent ignore_eos and min_tokens."""
        generating = [one for one in self.abilities if one.kind in ("chat", "completions")]
        return all(one.can_hold_length for one in generating)

    def found(self) -> dict[str, object]:
        """The same as JSON."""
        return asdict(self)


def asks_of(workload: Workload) -> tuple[Ask, ...]:
    """Each endpoint and model of a workload once."""
    return tuple(dict.fromkeys(Ask(request.kind, request.model) for request in workload.requests))


def discover(
    target_url: str,
    headers: Iterable[tuple[str, str]],
    api_key: str | None,
    model: str | None,
    timeout_s: float,
    *,
    asks: Sequence[Ask] = (Ask("chat"),),
    ca_file: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Discovery:
    """Look at a server; `timeout_s` bounds each question.

    Raises:
        BadTarget: it is not there, does not serve what is asked, or fails; the message names the address.
    """
    with Probe(
        target_url, headers, api_key, timeout_s=timeout_s, ca_file=ca_file, transport=transport
    ) as probe:
        return discover_with(probe, model, asks)


def discover_with(probe: Probe, model: str | None, asks: Sequence[Ask]) -> Discovery:
    """The same with a probe that goes on to be used."""
    answer = probe.get(MODELS_PATH)
    models = _listed(answer)
    default = _default_model(probe.url, models, model, asks)
    wanted = dict.fromkeys((ask.kind, "" if ask.kind == "agent" else ask.model or default) for ask in asks)
    abilities = tuple(_ability(probe, kind, name, models) for kind, name in wanted)
    tokenize: dict[str, Dialect] = {}
    notes = [note for ability in abilities for note in ability.notes]
    if models is None:
        notes.append(f"no list of models: {answer.refusal()}")
    for name in dict.fromkeys(name for _, name in wanted if name):
        dialect, why = find_dialect(probe, name)
        if dialect is None:
            notes.append(f"no /tokenize for {name}: {why}")
        else:
            tokenize[name] = dialect
    return Discovery(probe.url, default, models, abilities, tokenize, tuple(notes))


def _listed(answer: Answer) -> tuple[ListedModel, ...] | None:
    """The models of the list; None where the server has none, which OpenAI-compatible servers may."""
    if answer.status in (404, 405, 501):
        return None
    if answer.status in (401, 403):
        raise BadTarget(f"{answer.refusal()} (is the API key right?)")
    entries = answer.document().get("data")
    if not isinstance(entries, list):
        raise BadTarget(f"{answer.asked} answered no list of models")
    return tuple(_entry(answer, entry) for entry in entries)


def _entry(answer: Answer, entry: object) -> ListedModel:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise BadTarget(f"{answer.asked} lists a model without an id")
    endpoints = entry.get("endpoints")
    context_tokens = entry.get("max_model_len", entry.get("context_tokens"))
    return ListedModel(
        entry["id"],
        tuple(map(str, endpoints)) if isinstance(endpoints, list) else None,
        context_tokens if isinstance(context_tokens, int) else None,
    )


def _default_model(
    url: str, models: tuple[ListedModel, ...] | None, named: str | None, asks: Sequence[Ask]
) -> str:
    if named is not None:
        return named
    kinds = {ask.kind for ask in asks if ask.model is None and ask.kind != "agent"}
    if not kinds:
        return ""
    if models is None:
        raise BadTarget(f"{url} has no {MODELS_PATH}, so name the model")
    fitting = [model.name for model in models if all(model.fits(kind) for kind in kinds)]
    if len(fitting) == 1:
        return fitting[0]
    paths = " and ".join(sorted(PATHS[kind] for kind in kinds))
    if fitting:
        raise BadTarget(f"{url} serves several models at {paths}; name one: {_names(fitting)}")
    everything = _names([model.name for model in models]) or "none at all"
    raise BadTarget(f"{url} serves no model at {paths}; its models: {everything}")


def _ability(probe: Probe, kind: Kind, name: str, models: tuple[ListedModel, ...] | None) -> Ability:
    try:
        return probe_ability(probe, kind, name)
    except BadTarget as exc:
        listed = [model.name for model in models or ()]
        # Some servers answer to names that they do not list, so this is only said once asking failed.
        if not name or models is None or name in listed:
            raise
        raise BadTarget(f"{exc} (listed: {_names(listed) or 'no model'})") from exc


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_LISTED])
    return shown if len(names) <= _MAX_LISTED else f"{shown} and {len(names) - _MAX_LISTED} more"
