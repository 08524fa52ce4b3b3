"""One request as the door sees it, from its headers to the last byte of its answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.types import Message, Send

from serve_app.front.base import Served
from serve_app.identity.base import Principal
from serve_app.limits.base import Claim, Decision
from serve_app.limits.headers import Header
from serve_app.limits.meter import Meter

ALLOWED = "allowed"


@dataclass(slots=True)
class Visit:
    """What is known of it so far."""

    began_s: float  # on the door's clock
    principal: Principal | None = None  # None: a public route, or nobody known
    is_public: bool = False
    tenant: str | None = None
    model: str | None = None
    verdict: str = ALLOWED  # or the code of the error that refused it at the door
    path: str | None = None  # to be written down instead of the request's own
    trace_id: str | None = None
    claim: Claim | None = None  # what was admitted
    num_prompt_estimate: int = 0
    decision: Decision | None = None
    headers: list[Header] = field(default_factory=list)  # that the answer gets
    meter: Meter | None = None
    served: Served | None = None  # who answered, where that may be another one than was asked
    status: int | None = None
    is_whole: bool = False  # the answer's last byte has left

    def watching(self, send: Send, send_body: Send) -> Send:
        """`send`, with the answer looked at as it passes by, and its headers added.

        Args:
            send_body: the way out for what follows the response's start.
        """

        async def send_seen(message: Message) -> None:
            if message["type"] != "http.response.body":
                if message["type"] == "http.response.start":
                    self.status = message["status"]
                    if self.headers:
                        message["headers"] = [*message.get("headers", ()), *self.headers]
                await send(message)
                return
            if self.meter is not None:
                self.meter.see(message.get("body", b""))
            await send_body(message)
            self.is_whole = not message.get("more_body", False)

        return send_seen

    @property
    def priced_model(self) -> str | None:
        """Whose prices hold."""
        return self.model if self.served is None or self.served.model is None else self.served.model

    def used_tokens(self) -> tuple[int, int]:
        """Of prompt and answer. A client that left before there was an answer has had its prompt read."""
        if self.meter is None or (self.served is not None and self.served.is_free):
            return 0, 0
        used = self.meter.read(self.num_prompt_estimate)
        has_left = self.status in (None, 499)
        return (self.num_prompt_estimate, 0) if has_left and used == (0, 0) else used
