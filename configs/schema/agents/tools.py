"""Tools that declared agents may call, by kind."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from configs.schema.base import Name, SecretRef, Strict, Url
from configs.schema.sources import Host as HostPattern

# What OpenAI's API takes for a function's name.
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MAX_NAME_CHARS = 64
# Headers that the client writes itself.
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


class HeaderSecret(Strict):
    """A secret that goes into a header of each request, and nowhere else."""

    header: HeaderName = Field(default="authorization", description="Name of the header.")
    prefix: str = Field(default="", description="What stands before the secret, as `Bearer `.")
    value: SecretRef = Field(description="Where the secret is found.")


class ToolBase(Strict):
    """What every tool has, whatever its kind."""

    name: ToolName = Field(description="What the model calls it by.")
    timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds for one call; what remains of the run always bounds it."
    )
    approval: bool = Field(
        default=False, description="A person has to approve every call; the run pauses until then."
    )
    after_untrusted: Literal["allow", "approve", "refuse"] | None = Field(
        default=None,
        description="A call in a run that has read results of tools, which may hide instructions: made as always, "
        "after a person's approval, or not at all. None: `approve` for HTTP methods other than GET, else `allow`.",
    )
    max_result_chars: int = Field(
        default=8000, ge=100, description="Characters of a result that the model gets to read."
    )

    @property
    def when_untrusted(self) -> Literal["allow", "approve", "refuse"]:
        """`after_untrusted`, or the kind's own."""
        return self.after_untrusted or "allow"


class HttpTool(ToolBase):
    """One endpoint of an HTTP API.

    Arguments that the URL names go into its path or query; of the others those of GET and DELETE go into the
    query, and those of the other methods into a JSON body.
    """

    kind: Literal["http"]
    description: str = Field(min_length=1, description="What it does and when to use it, for the model.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="GET", description="The HTTP method."
    )
    url: Url = Field(description="Address, with `{parameter}` in its path or query where an argument stands.")
    parameters: dict[str, dict[str, Any]] = Field(
        default={}, description="JSON schema of each argument, by its name."
    )
    optional: tuple[str, ...] = Field(default=(), description="Arguments that may be left out.")
    headers: dict[HeaderName, str] = Field(default={}, description="Headers of every request; no secrets.")
    secret: HeaderSecret | None = Field(default=None, description="A secret in a header.")
    hosts: tuple[Host, ...] = Field(
        default=(),
        description="Hosts, with their ports where these are not the scheme's own, that requests and redirects may "
        "go to; none: the URL's own.",
    )
    max_response_bytes: int = Field(
        default=262_144, ge=1, description="A longer response is an error, and is not read to its end."
    )

    @property
    def when_untrusted(self) -> Literal["allow", "approve", "refuse"]:
        return self.after_untrusted or ("allow" if self.method == "GET" else "approve")

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        return self.hosts or (urlsplit(self.url).netloc.lower(),)

    @field_validator("parameters")
    @classmethod
    def _schemas(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        for name, schema in value.items():
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as exc:
                raise ValueError(f"the schema of {name!r} is no JSON schema: {exc.message}") from exc
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> HttpTool:
        parts = urlsplit(self.url)
        if "@" in parts.netloc or PLACEHOLDER.search(parts.netloc) or parts.fragment:
            raise ValueError(f"{self.name}: the URL has credentials, a fragment, or a parameter in its host")
        if parts.netloc.lower() not in self.allowed_hosts:
            raise ValueError(
                f"{self.name}: the URL's host {parts.netloc} is none of its hosts: {', '.join(self.hosts)}"
            )
        named = PLACEHOLDER.findall(self.url)
        for name in (*named, *self.optional):
            if name not in self.parameters:
                raise ValueError(f"{self.name}: there is no parameter {name!r}")
        for name in named:
            if name in self.optional:
                raise ValueError(f"{self.name}: {name!r} stands in the URL and cannot be optional")
        taken = {name.lower() for name in self.headers}
        if clash := taken & (_OWN_HEADERS | ({self.secret.header.lower()} if self.secret else set())):
            raise ValueError(f"{self.name}: the header {', '.join(sorted(clash))} cannot be set here")
        return self


class RetrievalTool(ToolBase):
    """Searches the knowledge base of whoever asks."""

    kind: Literal["retrieval"]
    description: str = Field(
        default="Searches the ingested documents and gives the passages that fit best, numbered.",
        min_length=1,
        description="What it does and when to use it, for the model.",
    )
    num_passages: int = Field(default=5, ge=1, le=50, description="Passages of one search.")
    filters: dict[str, str | list[str]] = Field(
        default={}, description="Only documents whose field equals the value, or one of the values."
    )


class WebTool(ToolBase):
    """Searches the web, by the profile's `web_search`."""

    kind: Literal["web"]
    description: str = Field(
        default="Searches the web and gives the pages that fit best, numbered, each with its address.",
        min_length=1,
        description="What it does and when to use it, for the model.",
    )
    num_results: int = Field(default=5, ge=1, le=20, description="Pages of one search.")


class FetchTool(ToolBase):
    """Reads a page of the web, of hosts on a list alone; no address that is not public is asked."""

    kind: Literal["fetch"]
    description: str = Field(
        default="Reads the page at an address: text, HTML, PDF or Office.",
        min_length=1,
        description="What it does and when to use it, for the model.",
    )
    hosts: tuple[HostPattern, ...] = Field(
        min_length=1,
        description="Hosts that may be asked, redirects included (`*.example.org`: all below it); with their ports "
        "where these are not the scheme's own.",
    )
    allow_private: bool = Field(
        default=False, description="Let hosts have private, loopback and link-local addresses."
    )
    user_agent: str = Field(default="manta", min_length=1, description="Who asks, as servers see it.")
    max_response_bytes: int = Field(
        default=2_000_000, ge=1, description="A longer page is an error, and is not read to its end."
    )


class McpTools(ToolBase):
    """Tools of an MCP server (streamable HTTP). The model calls them `NAME_TOOL`."""

    kind: Literal["mcp"]
    url: Url = Field(description="Address of the server's endpoint.")
    tools: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")], ...] = Field(
        min_length=1, description="Its tools that may be called; it may have others."
    )
    pins: dict[str, Sha256] = Field(
        default={},
        description="SHA-256 of what a tool says of itself, by its name, as `manta websearch pins URL` prints it: a "
        "tool that differs is not used.",
    )
    secret: HeaderSecret | None = Field(default=None, description="A secret in a header.")
    max_response_bytes: int = Field(default=262_144, ge=1, description="A longer response is an error.")

    @model_validator(mode="after")
    def _fits_together(self) -> McpTools:
        for tool in self.pins:
            if tool not in self.tools:
                raise ValueError(f"{self.name}: pins names {tool!r}, which is none of its tools")
        for tool in self.tools:
            if len(f"{self.name}_{tool}") > _MAX_NAME_CHARS:
                raise ValueError(f"{self.name}_{tool} is longer than {_MAX_NAME_CHARS} characters")
        return self


class AgentTool(ToolBase):
    """Another agent, asked a question. What it uses counts as the asking agent's use."""

    kind: Literal["agent"]
    agent: Name = Field(description="A declared agent, or the pipeline.")
    description: str | None = Field(
        default=None, min_length=1, description="For the model; None: the agent's own description."
    )
    timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds for one call; what remains of the run always bounds it."
    )


ToolConfig = Annotated[
    HttpTool | RetrievalTool | WebTool | FetchTool | McpTools | AgentTool, Field(discriminator="kind")
]


def names_for_models(tool: ToolConfig) -> tuple[str, ...]:
    """What models call it by."""
    return tuple(f"{tool.name}_{one}" for one in tool.tools) if isinstance(tool, McpTools) else (tool.name,)
