"""An MCP server of a few tools, over the library's low level.

Its high level would configure the whole process' logging when it is made, and tell callers the text of
any exception. Here what is no error of our tree is told as an internal one, and stands in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import BaseModel, ValidationError

from serve_app.errors import BadRequest, MantaError
from serve_app.tool_server.base import Progress, ServedTool
from serve_app.tool_server.faults import meta_of

logger = logging.getLogger("manta.tools")

# One line a request, of the library, that says nothing.
logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.WARNING)


def make_server(name: str, tools: Iterable[ServedTool], version: str = "1") -> Server[Any]:
    """The server. It keeps nothing between two requests."""
    by_name = {tool.name: tool for tool in tools}

    async def list_tools(_: ServerRequestContext[Any], __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[definition(tool) for tool in by_name.values()])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            tool = _find(by_name, params.name)
            return _told(tool, await tool.run(_read(tool, params.arguments or {}), _progress(context)))
        except MantaError as exc:
            if exc.status >= 500:
                logger.warning("%s: %s: %s", params.name, exc.__class__.__name__, exc.message)
            return _failed(exc)
        except Exception:
            # The outermost edge: whatever else comes out of here is shown to the caller.
            logger.exception("the tool %s failed", params.name)
            return _failed(MantaError("an internal error; the server's log has it"))

    return Server(name, version=version, on_list_tools=list_tools, on_call_tool=call_tool)


def definition(tool: ServedTool) -> types.Tool:
    """What callers are told of a tool."""
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=_schema(tool.takes),
        output_schema=_schema(tool.gives),
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=tool.is_open_world),
    )


@lru_cache(maxsize=64)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _find(by_name: Mapping[str, ServedTool], name: str) -> ServedTool:
    tool = by_name.get(name)
    if tool is None:
        raise BadRequest(f"there is no tool {name!r:.80}; there are: {', '.join(by_name)}")
    return tool


def _read(tool: ServedTool, arguments: dict[str, Any]) -> BaseModel:
    try:
        return tool.takes.model_validate(arguments)
    except ValidationError as exc:
        # Names and faults, and not the values: those are the caller's.
        faults = (
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors(include_input=False)
        )
        raise BadRequest("; ".join(faults)) from exc


def _told(tool: ServedTool, result: BaseModel) -> types.CallToolResult:
    text = result.model_dump_json() if tool.text is None else tool.text(result)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=result.model_dump(mode="json")
    )


def _failed(error: MantaError) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=error.message)], is_error=True, _meta=meta_of(error)
    )


def _progress(context: ServerRequestContext[Any]) -> Progress:
    num_told = 0

    async def tell(message: str) -> None:
        nonlocal num_told
        num_told += 1
        await context.session.report_progress(num_told, None, message)

    return tell
