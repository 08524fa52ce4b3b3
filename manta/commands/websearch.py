"""`manta websearch`: a profile's web search as an MCP server of its own; `pins`: the hashes of a server's tools."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import click

from configs.load import home, read_profile, secret
from configs.schema import SecretRef
from manta.console import err, out
from manta.profile_options import profile_option
from serve_app.errors import ConfigError


@click.group("websearch", invoke_without_command=True)
@profile_option("Whose `web_search` is served.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Listen here; beyond loopback a token is needed."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free."
)
@click.option("--token-env", default=None, help="Environment variable with the token that callers must show.")
@click.pass_context
def command(context: click.Context, profile: Path, host: str, port: int, token_env: str | None) -> None:
    """Serve PROFILE's web search over MCP (streamable HTTP, stateless) at /mcp until Ctrl-C."""
    if context.invoked_subcommand is None:
        serve(profile, host, port, token_env)


@command.command("pins")
@click.argument("url")
@click.option("--token-env", default=None, help="Environment variable with the server's token.")
def pins(url: str, token_env: str | None) -> None:
    """Show the tools of the MCP server at URL, and their hashes as `web_search.provider.pins` wants them."""
    from serve_app.websearch.describe import describe

    for line in asyncio.run(describe(url, _token(token_env))):
        out.print(line, markup=False)


def serve(profile: Path, host: str, port: int, token_env: str | None) -> None:
    """Serve until the process is asked to end.

    Raises:
        ConfigError: the profile has no web search, or it cannot work, or nobody may listen there.
    """
    import uvicorn

    from serve_app.tool_server.server import make_server
    from serve_app.websearch.app import may_listen, web_search_app
    from serve_app.websearch.registry import SERVER_NAME, open_source
    from serve_app.websearch.tool import search_tool

    chosen = read_profile(profile).platform
    web = chosen.web_search
    if web is None:
        raise ConfigError(f"{profile} has no web_search; docs/web-search.md says what stands there")
    token = _token(token_env)
    if not may_listen(host, token):
        raise ConfigError(f"{host} is not loopback: give --token-env NAME, or listen on 127.0.0.1")

    async def run() -> None:
        source = open_source(web, home(chosen))
        try:
            app = web_search_app(make_server(SERVER_NAME, [search_tool(source)]), token)
            config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none")
            with _listener(host, port) as listener:
                shown = f"[{host}]" if ":" in host else host
                url = f"http://{shown}:{listener.getsockname()[1]}/mcp"
                err.print(f"web search ({web.provider.kind}) at {url}", markup=False)
                await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            await source.close()

    asyncio.run(run())


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise ConfigError(f"nothing can listen on {host}:{port}: {exc.strerror}") from exc


def _token(name: str | None) -> str | None:
    return None if name is None else secret(SecretRef(env=name))
