"""On which of a model's replicas prompts that begin alike have been, and where the next of them goes. Pure.

A replica that was sent a prompt has its keys and values, until it drops them for others. So a prompt goes to
the replica that was sent the longest beginning of it, unless that one has too much to do. One of which no
beginning is known goes where a hash says, so that callers who do not know of each other send it to the same
replica; and that only while it has no more than its share, for nothing is lost yet by sending it to another.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping

from serve_app.routing.beginnings import Beginnings
from serve_app.routing.choose import MAX_LOAD
from serve_app.routing.hashing import unit

# More than the engines keep: a conversation has one for each of its messages.
MAX_NAMES = 50_000
# Of one beginning. What more replicas have than this is as good as anywhere.
MAX_PLACES = 8
# So many requests more than the idlest has are never too much: engines write several texts in one batch.
SLACK = 2
# Requests whose replica is remembered, to see that they are asked again; longer than any of them waits.
MAX_REQUESTS = 4096
# A replica that was full or gone a moment ago: so long nothing is kept together there. One that hangs is in doubt again
# with each request that waited in vain, until its health check replaces it.
DOUBT_S = 5.0


class Places:
    """What one caller has sent where."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()  # name -> replicas, the latest last

    def sent(self, prompt: Beginnings, replica: str) -> None:
        """A prompt goes to this replica."""
        for name in prompt.names:
            others = [one for one in self._known.pop(name, ()) if one != replica]
            self._known[name] = (*others[1 - MAX_PLACES :], replica)
        while len(self._known) > MAX_NAMES:
            self._known.popitem(last=False)

    def best(self, prompt: Beginnings, loads: Mapping[str, int]) -> str:
        """The replica to ask first.

        Args:
            loads: replica -> requests under way there, of all that there are; at least one.
        """
        share = (sum(loads.values()) + 1) / len(loads)
        idlest = min(loads, key=lambda one: (loads[one], -unit(prompt.home.hex(), one)))
        most = max(math.ceil(MAX_LOAD * share), loads[idlest] + SLACK)
        is_known = False
        for name in reversed(prompt.names):
            having = [one for one in self._known.get(name, ()) if one in loads]
            is_known = is_known or bool(having)
            roomy = [one for one in having if loads[one] < most]
            if roomy:
                return min(reversed(roomy), key=lambda one: loads[one])
        if not is_known:
            home = max(loads, key=lambda one: unit(prompt.home.hex(), one))
            if loads[home] < math.ceil(share):
                return home
        return idlest


class Doubts:
    """Replicas that had a request which is asked again: affinity must not lead it to the same one each time.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: OrderedDict[str, str] = OrderedDict()  # request -> replica
        self._until: dict[str, float] = {}

    def sent(self, request_id: str, replica: str) -> None:
        """A prompt of the request goes to this replica."""
        self._sent[request_id] = replica
        self._sent.move_to_end(request_id)
        if len(self._sent) > MAX_REQUESTS:
            self._sent.popitem(last=False)

    def settled(self, request_id: str, loads: Mapping[str, int], *, is_again: bool) -> Mapping[str, int]:
        """The loads of those replicas that are in no doubt, before a prompt is sent; of all, if all are.

        Args:
            is_again: the prompt was sent before, in vain.
        """
        now = self._clock()
        earlier = self._sent.get(request_id) if is_again else None
        if earlier is not None:
            self._until[earlier] = now + DOUBT_S
        self._until = {one: until for one, until in self._until.items() if until > now}
        return {one: load for one, load in loads.items() if one not in self._until} or loads
