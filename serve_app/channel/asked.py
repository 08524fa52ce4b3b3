"""What a call asks for by the channel: one stream or several, each with where it shall go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.channel.address import ReplyTo
from serve_app.messages import RequestContext


@dataclass(frozen=True, slots=True)
class Asked:
    """One stream of a deployment's method."""

    args: tuple[Any, ...]  # of the method, before its context
    context: RequestContext
    reply_to: ReplyTo


# All of one caller: they share its listener.
AskedTogether = Sequence[Asked]
