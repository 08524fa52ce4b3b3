"""On which of a model's replicas prompts that begin alike have been, and where the next of them goes. Pure.

A replica that was sent such a prompt has its keys and values, until it drops them for others. So the next one goes back
there, unless that replica has too much to do. A prompt that nobody is known to have goes where a hash says, so that
callers who do not know of each other send it to the same replica; and that only while it has no more than its share,
for nothing is lost yet by sending it to another.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from serve_app.routing.choose import MAX_LOAD
from serve_app.routing.hashing import unit

# More than the engines keep: what has been forgotten here goes where the hash says.
MAX_KEYS = 20_000
# Of one key: a replica that was sent it longer ago has most likely dropped it.
MAX_PLACES = 4
# So many requests more than the idlest has are never too much: engines write several texts in one batch.
SLACK = 2


class Places:
    """What one caller has sent where."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, ...]] = OrderedDict()  # key -> replicas, the latest last

    def sent(self, key: str, replica: str) -> None:
        """A prompt with this key goes to this replica."""
        others = [one for one in self._known.pop(key, ()) if one != replica]
        self._known[key] = (*others[1 - MAX_PLACES :], replica)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def best(self, key: str, loads: Mapping[str, int]) -> str:
        """The replica to ask first.

        Args:
            loads: replica -> requests under way there, of all that there are; at least one.
        """
        share = (sum(loads.values()) + 1) / len(loads)
        having = [one for one in reversed(self._known.get(key, ())) if one in loads]
        most = max(math.ceil(MAX_LOAD * share), min(loads.values()) + SLACK)
        for one in having:  # the latest first: it has most of a conversation
            if loads[one] < most:
                return one
        if not having:
            home = max(loads, key=lambda one: unit(key, one))
            if loads[home] < math.ceil(share):
                return home
        return min(loads, key=lambda one: (loads[one], -unit(key, one)))
