"""Who has had how much of the slots, by tenant and weight. Knows nothing of who waits, of asyncio or of a clock.

What is shared is the time that requests hold slots, which is what a full engine has too little of: counting requests
would give more of it to whoever asks for longer answers. A request is charged what its tenant's requests took lately
when it begins, and what it really took when it ends, divided by the tenant's weight; the tenant with the least is next.
A tenant that had nothing to ask for starts again near where the others are, so that nobody saves up a claim to the
engine, and a moment without a request costs nobody its share.

(Start-time fair queueing: P. Goyal, H. Vin, H. Cheng, SIGCOMM 1996; with costs that are known afterwards, as the
virtual token counter of Y. Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024.)
"""

from __future__ import annotations

from dataclasses import dataclass

# What a tenant's first request is taken to hold a slot for, and how much one more says about the next.
_FIRST_HOLD_S = 1.0
_LEARN = 0.2
# Requests' worth of its share that a tenant may have missed while nothing of it waited, and still gets.
_MAX_CREDIT = 8.0
# Tenants after which those that owe nothing are forgotten.
_MAX_TENANTS = 1024


@dataclass(slots=True)
class _Account:
    weight: float
    used: float  # slot-seconds by weight
    hold_s: float = _FIRST_HOLD_S
    num_running: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A slot that a tenant's request holds."""

    tenant: str
    charged_s: float
    began_s: float


class Shares:
    """The accounts of the tenants of one replica."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._level = 0.0  # where whoever was served last had been: nobody starts far below

    def come(self, tenant: str, weight: float, *, is_new: bool) -> None:
        """A request of the tenant's comes; with `is_new` none of its requests waited before."""
        account = self._accounts.get(tenant)
        if account is None:
            self._forget()
            self._accounts[tenant] = _Account(weight, self._level)
            return
        account.weight = weight
        if is_new:
            account.used = max(account.used, self._level - _MAX_CREDIT * account.hold_s / weight)

    def begin(self, tenant: str, now_s: float) -> Turn:
        """A request of a tenant that came has a slot now."""
        account = self._accounts[tenant]
        account.num_running += 1
        self._level = max(self._level, account.used)
        account.used += account.hold_s / account.weight
        return Turn(tenant, account.hold_s, now_s)

    def end(self, turn: Turn, now_s: float) -> None:
        account = self._accounts[turn.tenant]
        held_s = now_s - turn.began_s
        account.num_running -= 1
        account.used += (held_s - turn.charged_s) / account.weight
        account.hold_s += _LEARN * (held_s - account.hold_s)

    def used(self, tenant: str, num_more: int = 0) -> float:
        """What the tenant has had, by weight, once so many more of its requests have begun.

        Of a tenant that nothing is known of: where it would start.
        """
        account = self._accounts.get(tenant)
        if account is None:
            return self._level
        return account.used + num_more * account.hold_s / account.weight

    def num_before(self, tenant: str, tag: float) -> float:
        """How many of its requests begin before it has had as much as `tag`."""
        account = self._accounts[tenant]
        return max(0.0, (tag - account.used) * account.weight / max(account.hold_s, 1e-9))

    def _forget(self) -> None:
        if len(self._accounts) >= _MAX_TENANTS:
            gone = [
                name
                for name, one in self._accounts.items()
                if not one.num_running and one.used <= self._level
            ]
            for name in gone:
                del self._accounts[name]
