"""Web search: who is asked, when, and what of the web counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import SecretRef, Strict, Url

# A registrable name or one below it, in lower case; internationalised ones in Punycode.
Domain = Annotated[
    str,
    StringConstraints(pattern=r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$"),
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class TavilyProvider(Strict):
    """Tavily's search API, for which one needs a key."""

    kind: Literal["tavily"]
    url: Url = Field(default="https://api.tavily.com", description="Where it is.")
    api_key: SecretRef = Field(default=SecretRef(env="TAVILY_API_KEY"), description="Where the key is found.")
    depth: Literal["basic", "advanced"] = Field(
        default="basic", description="`advanced` reads more of each page, for twice the credits."
    )


class SearxngProvider(Strict):
    """A SearXNG instance, one's own: its settings must list `json` among `search.formats`."""

    kind: Literal["searxng"]
    url: Url = Field(description="Where it is.")
    engines: tuple[str, ...] = Field(
        default=(), description="Its engines to ask; none: those of the category."
    )
    language: str | None = Field(
        default=None, description="Language of the pages, such as `en`; None: its own."
    )


class FixtureProvider(Strict):
    """A web of a few pages from a file: for demonstrations, tests and benchmarks without a network."""

    kind: Literal["fixture"]
    path: str = Field(
        min_length=1,
        description="JSON file: a list of `{url, title, text, published?}`; a relative path counts from `home`.",
    )


class McpProvider(Strict):
    """A web search in a process of its own: `manta websearch`, or another MCP server with the same tool."""

    kind: Literal["mcp"]
    url: Url = Field(default="http://127.0.0.1:8765/mcp", description="Its streamable HTTP endpoint.")
    token: SecretRef | None = Field(default=None, description="What it wants as bearer token; None: nothing.")
    pins: dict[str, Sha256] = Field(
        default={},
        description="Tool -> SHA-256 of its description and schemas, as `manta websearch pins` prints it; a tool that"
        " is not as pinned is not called. None given: as this version of Manta defines it.",
    )


Provider = Annotated[
    TavilyProvider | SearxngProvider | FixtureProvider | McpProvider, Field(discriminator="kind")
]


class WebSearchConfig(Strict):
    """Searching the web. The search runs inside the agent, or where an `mcp` provider says."""

    provider: Provider = Field(description="Who searches.")
    modes: tuple[Literal["first", "augment", "replace"], ...] = Field(
        default=("first", "augment", "replace"),
        min_length=1,
        description="When: `first` for questions about what is new, `augment` beside passages that may not suffice,"
        " `replace` instead of passages that do not fit.",
    )
    max_queries: int = Field(default=2, ge=1, le=2, description="Searches for one question.")
    max_results: int = Field(default=5, ge=1, le=20, description="Pages for one question.")
    max_page_chars: int = Field(default=2000, ge=100, le=4000, description="Characters kept of each page.")
    allowed_domains: tuple[Domain, ...] = Field(
        default=(), description="Only pages of these and of what is below them; none: of all."
    )
    denied_domains: tuple[Domain, ...] = Field(
        default=(), description="No pages of these, nor of what is below them."
    )
    connect_timeout_s: float = Field(default=2.0, gt=0, le=30, description="Seconds for a connection.")
    max_connections: int = Field(default=16, ge=1, le=1024, description="Connections of a replica.")
    max_response_bytes: int = Field(
        default=4 * 1024 * 1024, ge=4096, description="Longest answer of a provider that is read."
    )
    breaker_failures: int = Field(
        default=5, ge=1, description="Failures in a row, after which nobody is asked for a while."
    )
    breaker_pause_s: float = Field(default=30.0, gt=0, description="Seconds until one search tries again.")

    @model_validator(mode="after")
    def _domains(self) -> WebSearchConfig:
        for domain in self.allowed_domains:
            if domain in self.denied_domains:
                raise ValueError(f"the domain {domain} is allowed and denied")
        return self
