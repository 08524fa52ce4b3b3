"""What an answer's headers say of limits, as OpenAI's do; and the error of a request that is over one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.errors import BudgetSpent, LimitReached
from serve_app.limits.base import NANO_PER_USD, Check, Decision, Kind, Standing

Header = tuple[bytes, bytes]

_NOUNS = {
    Kind.REQUESTS: "requests a minute",
    Kind.TOKENS: "tokens a minute",
    Kind.CONCURRENT: "requests at once",
    Kind.DAY: "dollars a day",
    Kind.MONTH: "dollars a month",
}
LOCAL = (b"x-manta-limits", b"local-share")


def limit_headers(decision: Decision) -> list[Header]:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` of the tightest limit of each kind."""
    headers: list[Header] = []
    for kind in (Kind.REQUESTS, Kind.TOKENS):
        tightest = _tightest(decision.standings, kind)
        if tightest is not None:
            headers += [
                (f"x-ratelimit-limit-{kind}".encode(), b"%d" % tightest.check.limit),
                (f"x-ratelimit-remaining-{kind}".encode(), b"%d" % tightest.remaining),
                (f"x-ratelimit-reset-{kind}".encode(), _duration(tightest.reset_s)),
            ]
    if decision.is_local:
        headers.append(LOCAL)
    return headers


def refusal(check: Check, retry_after_s: float) -> LimitReached:
    """The error of a request that this limit refuses."""
    limit = check.limit / NANO_PER_USD if check.is_money else check.limit
    whose = " ".join(part.replace(":", " ", 1) for part in check.scope.split(" "))
    message = f"{whose} is limited to {limit:g} {_NOUNS[check.kind]}"
    if check.is_money:
        return BudgetSpent(f"{message}, which are spent", retry_after_s)
    return LimitReached(message, retry_after_s)


def _tightest(standings: Sequence[Standing], kind: Kind) -> Standing | None:
    of_kind = [standing for standing in standings if standing.check.kind is kind]
    return min(of_kind, key=lambda standing: standing.remaining, default=None)


def _duration(seconds: float) -> bytes:
    """As OpenAI writes them: `120ms`, `6.5s`, `1m30s`."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    minutes, rest = divmod(seconds, 60)
    return (f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:.3g}s").encode()
