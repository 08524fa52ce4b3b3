"""What was run, against what, on what, and how to run it again; never a secret."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from benchmarks.report.frame import copyable, facts
from benchmarks.report.markup import Child, Html, join, tag
from benchmarks.report.wording import count, seconds
from configs.workload import (
    ClosedLoop,
    ConstantArrivals,
    GammaArrivals,
    PoissonArrivals,
    RampArrivals,
    StepArrivals,
    TraceArrivals,
    Workload,
)


def address(url: str) -> str:
    """A server's address without what could be secret: user, password, query."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}" if host else ""


def scrubbed(words: str) -> str:
    """A text whose addresses have no user and password."""
    return _USER_INFO.sub(r"\1", words)


_USER_INFO = re.compile(r"(\w+://)[^/@\s]*@")


def meta(workload: Workload, settings: Mapping[str, Any]) -> list[str]:
    """The few facts below a page's title."""
    target = part(settings, "target")
    when = str(settings.get("time_utc", "")).replace("T", " ").replace("Z", " UTC")
    known = [
        address(str(target.get("url", ""))),
        str(target.get("model") or ""),
        arrivals_in_words(workload),
        when,
    ]
    return [words for words in known if words]


def arrivals_in_words(workload: Workload) -> str:
    """ "8 requests/s, Poisson, for 60 s"."""
    arrivals = workload.arrivals
    match arrivals:
        case ConstantArrivals() | PoissonArrivals():
            name = {"constant": "evenly spaced", "poisson": "Poisson"}[arrivals.process]
            words = f"{arrivals.rate_rps:g} requests/s, {name}"
        case GammaArrivals():
            words = f"{arrivals.rate_rps:g} requests/s, gamma with burstiness {arrivals.burstiness:g}"
        case RampArrivals():
            words = f"{arrivals.from_rps:g} to {arrivals.to_rps:g} requests/s, {arrivals.spacing}"
        case StepArrivals():
            rates = ", ".join(f"{rate:g}" for rate in arrivals.rates_rps)
            words = f"steps of {rates} requests/s, {arrivals.spacing}"
        case TraceArrivals():
            speed = "" if arrivals.speed_up == 1 else f" at {arrivals.speed_up:g} times its speed"
            words = f"trace {arrivals.path.rpartition('/')[2]}{speed}"
        case ClosedLoop():
            words = f"closed loop of {count(arrivals.concurrency, 'user')}"
    is_trace = isinstance(arrivals, TraceArrivals)
    duration_s = workload.duration_s if workload.duration_s is not None or is_trace else 60.0
    return words if duration_s is None else f"{words}, for {seconds(duration_s)}"


def what_was_run(workload: Workload | None, settings: Mapping[str, Any], verb: str | None = "run") -> Html:
    """Facts, the command, and the workload's document.

    Args:
        verb: of the command where the settings do not tell it; None: then there is none.
    """
    document = settings.get("workload")
    if document is None and workload is not None:
        document = workload.model_dump(mode="json", exclude_unset=True)
    line = command(settings, verb)
    blocks: list[Child] = [facts(_facts(workload, settings, has_arrivals=verb == "run"))]
    if line is not None:
        blocks += [tag("h3", "Run it again"), copyable(line, "command")]
    if document is not None:
        note = (
            "Saved as workload.yaml this is the command's workload (JSON is YAML, too). The same workload, seed and "
            "model draw the same schedule; its digest tells."
        )
        written = copyable(json.dumps(document, indent=2, ensure_ascii=False))
        blocks.append(tag("details", tag("summary", "The workload"), tag("p", note, class_="lead"), written))
    blocks.append(tag("details", tag("summary", "All settings"), copyable(_all(settings))))
    return join(blocks)


def command(settings: Mapping[str, Any], verb: str | None = "run") -> str | None:
    """The command that measures this again: as it was given, or from what is known of the target."""
    given = settings.get("command")
    if isinstance(given, str) and given:
        return scrubbed(given)
    target = part(settings, "target")
    if verb is None or not target.get("url"):
        return None
    words = ["manta", "bench", verb, "workload.yaml", "--url", address(str(target.get("url", "")))]
    if target.get("model"):
        words += ["--model", str(target["model"])]
    line = shlex.join(words)
    for name in target.get("header_names", ()):
        line += f" --header {shlex.quote(f'{name}: ...')}"
    return line + (" --api-key-env NAME" if target.get("has_api_key") else "")


_TOLD = frozenset({"time_utc", "stopped_because", "num_workers", "command", "arrivals_end_s"})


def part(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside the settings; empty where there is none."""
    found = settings.get(name)
    return found if isinstance(found, Mapping) else {}


def _facts(
    workload: Workload | None, settings: Mapping[str, Any], *, has_arrivals: bool
) -> list[tuple[str, Child]]:
    target, schedule, machine = (part(settings, name) for name in ("target", "schedule", "machine"))
    prompts = part(target, "prompt_lengths")
    pairs: list[tuple[str, Any]] = [
        ("Server", address(str(target.get("url", "")))),
        ("Model", target.get("model")),
        ("Began", settings.get("time_utc")),
        ("Ended early", settings.get("stopped_because")),
    ]
    if workload is not None:
        pairs += [
            ("Arrivals", arrivals_in_words(workload) if has_arrivals else None),
            ("Requests", "; ".join(_entry(request) for request in workload.requests)),
            ("Objectives", _objectives(workload)),
            ("Time-out", f"{workload.timeout_s:g} s after the intended arrival"),
            ("Seed", str(workload.seed)),
        ]
    if schedule:
        requests = (
            count(int(schedule["num_requests"]), "request") if "num_requests" in schedule else "unknown"
        )
        digest = tag("code", str(schedule.get("digest", "unknown")))
        pairs.append(("Schedule", join((f"{requests}, digest ", digest))))
    if "can_hold_length" in target:
        held = target["can_hold_length"]
        pairs.append(("Answer lengths", "held by the server" if held else "as the model ends them; not held"))
    if prompts:
        pairs.append(
            ("Prompt lengths", ": ".join(str(prompts[k]) for k in ("exactness", "reason") if prompts.get(k)))
        )
    pairs.append(("About the server", "; ".join(map(str, target.get("notes", ())))))
    if settings.get("num_workers"):
        pairs.append(
            ("Client", count(int(settings["num_workers"]), "worker process").replace("processs", "processes"))
        )
    pairs += _machine(machine)
    pairs += [
        (name.replace("_", " ").capitalize(), _without_secrets(value))
        for name, value in settings.items()
        if name not in _TOLD and isinstance(value, (str, int, float)) and not isinstance(value, bool)
    ]
    return [(name, value if isinstance(value, Html) else str(value)) for name, value in pairs if value]


def _machine(machine: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if not machine:
        return []
    cores = f"{machine['cores']} cores" if machine.get("cores") else None
    software = [f"Python {machine['python']}"] if machine.get("python") else []
    software += [f"{name} {version}" for name, version in part(machine, "libraries").items()]
    return [
        (
            "Client's machine",
            ", ".join(str(one) for one in (machine.get("cpu"), cores, machine.get("system")) if one),
        ),
        ("Client's software", ", ".join(software)),
        ("Commit", machine.get("commit")),
    ]


def _entry(request: Any) -> str:
    """One entry of the mix, in words."""
    words = [request.label if request.label == request.kind else f"{request.label} ({request.kind})"]
    for field, noun in (("prompt_tokens", "prompt"), ("output_tokens", "answer")):
        length = getattr(request, field, None)
        if length is not None:
            words.append(f"{noun} {_length(length)}")
    if getattr(request, "shared_prefix_tokens", 0):
        words.append(f"shared prefix of {count(request.shared_prefix_tokens, 'token')}")
    if getattr(request, "stream", None) is False:
        words.append("not streamed")
    if request.weight != 1:
        words.append(f"weight {request.weight:g}")
    return ", ".join(words)


def _length(length: Any) -> str:
    if isinstance(length, int):
        return count(length, "token")
    fields = length.model_dump(exclude={"distribution"}, exclude_unset=True)
    return (
        f"{length.distribution} ({', '.join(f'{name} {value:g}' for name, value in fields.items())}) tokens"
    )


def _objectives(workload: Workload) -> str:
    limits = [
        f"{name} at most {limit:g} ms"
        for name, limit in (
            ("ttft", workload.objectives.ttft_ms),
            ("tpot", workload.objectives.tpot_ms),
            ("e2e", workload.objectives.e2e_ms),
        )
        if limit is not None
    ]
    if not limits:
        return "none"
    return f"{', '.join(limits)}; for at least {workload.objectives.attainment * 100:g} % of the requests"


def _all(settings: Mapping[str, Any]) -> str:
    """All settings as JSON, addresses without secrets."""
    return json.dumps(_without_secrets(settings), indent=2, ensure_ascii=False, default=str)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_secrets(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(inner) for inner in value]
    if isinstance(value, str):
        return address(value) if value.startswith(("http://", "https://")) else scrubbed(value)
    return value
