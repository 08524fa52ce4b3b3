"""Where a server answers each kind of request."""

from __future__ import annotations

from typing import Literal

Kind = Literal["chat", "completions", "embeddings", "agent"]

PATHS: dict[Kind, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "agent": "/v1/agent/answers",
}
