"""The command's front: which words there are, and what a fault looks like (one line, non-zero exit).

Commands are imported when they are called, so that `manta --help` does not load Ray.
"""

from __future__ import annotations

import sys

import click
import httpx

from benchmarks.errors import BenchmarkError
from configs.load import ProfileError
from manta.console import fail
from manta.lazy_group import LazyGroup
from serve_app.errors import MantaError

_COMMANDS = {
    "up": "Start the application on this machine.",
    "ask": "Ask a question; shows the answer as it is made, and its sources.",
    "ingest": "Make files part of the knowledge base; only what changed is sent.",
    "gateway": "LiteLLM's proxy in front: write its configuration, run it here.",
    "kb": "The knowledge base: how current it is, searches, rebuilding.",
    "keys": "Make, list and revoke API keys.",
    "usage": "Show what was used, by day, tenant, key and model.",
    "websearch": "Serve a profile's web search over MCP, as a process of its own.",
    "models": "List, fetch and locate model weights.",
    "doctor": "Say what this machine has and lacks.",
    "evaluate": "Calibrate the quality gate; score answers with a judge.",
    "bench": "Measure a server: load, sweeps, comparisons, scenarios, simulation.",
    "conformance": "Do faults to a whole application under load; say what clients saw.",
    "cluster": "A profile's cluster on EKS: plan it, render it, run it.",
    "config": "Check a profile; print the reference of all settings.",
}


@click.command(
    cls=LazyGroup,
    package="manta.commands",
    commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="manta")
def cli() -> None:
    """Models, agents and a knowledge base in one Ray Serve application."""


def main() -> None:
    """Run a command; faults that we understand are one line on stderr and exit code 2."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Abort:
        fail("interrupted", code=130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        fail("interrupted", code=130)
    except (MantaError, ProfileError, BenchmarkError) as exc:
        fail(str(exc))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        fail(f"that is no address of a server: {exc}")
    except httpx.TimeoutException as exc:
        fail(f"no answer in time from {exc.request.url}")
    except httpx.TransportError as exc:
        fail(f"cannot reach {exc.request.url}: {exc}; start it with: manta up")
    except OSError as exc:
        if (
            exc.errno is None
        ):  # no fault of the machine but of ours, such as a TimeoutError that nobody expected
            raise
        fail(": ".join(str(part) for part in (exc.filename, exc.strerror) if part))
    sys.exit(code if isinstance(code, int) else 0)
