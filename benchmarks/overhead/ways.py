"""The ways that a token can take from the mock engine to the client, each as a server that can be started."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.application import Started, served, started, write_profile
from benchmarks.overhead.bars import BARS
from benchmarks.overhead.lineup import Contender, Lineup
from benchmarks.overhead.pace import MODEL, Pace
from benchmarks.overhead.profile import AGENT, ONE, Replicas, Transport, has_transports, platform_of
from configs.ports import free_port


@dataclass(frozen=True, slots=True)
class Way:
    """One of them.

    Args:
        transport: of streams between replicas; None: as the configuration has it by default.
        is_fast: Serve with HAProxy and the throughput mode; False: in its defaults.
        via_agent: the agent is asked, which asks the engine.
    """

    name: str
    what: str
    replicas: Replicas = ONE
    transport: Transport | None = None
    has_hop: bool = True
    is_fast: bool = True
    via_agent: bool = False

    @property
    def model(self) -> str:
        """What a request names."""
        return AGENT if self.via_agent else MODEL

    @property
    def has_bars(self) -> bool:
        """Whether the bars are for it; the others are told beside them."""
        return self.replicas == ONE and self.is_fast and not self.via_agent

    @contextmanager
    def running(self, pace: Pace, engine: dict[str, Any] | None = None) -> Iterator[Started]:
        """Its server, ready; stopped at the end.

        Args:
            engine: further settings of the mock engine.

        Raises:
            CannotStart: it does not start.
        """
        with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
            profile = write_profile(
                Path(folder) / "profile.yaml", platform_of(pace, self.replicas, self.transport, engine)
            )
            if self.has_hop and self.is_fast:
                with started(profile) as fresh:
                    yield fresh
                return
            words = ["whole" if self.has_hop else "no-hop", str(profile)]
            words += [] if self.is_fast else ["--serve-defaults"]
            with _server("ray_server", words, MANTA_HOME=folder) as fresh:
                yield fresh


def mock_lineup(ways: Sequence[Way], pace: Pace) -> Lineup:
    """These ways, and the bare server that makes the same tokens."""
    contenders = (
        Contender(way.name, way.what, way.model, partial(way.running, pace), has_bars=way.has_bars)
        for way in ways
    )
    return Lineup(
        bare="FastAPI, no Ray",
        model=MODEL,
        bare_running=partial(bare_running, pace),
        contenders=tuple(contenders),
        bars=BARS,
        holds_length=False,
    )


@contextmanager
def bare_running(pace: Pace) -> Iterator[Started]:
    """The bare server, ready; stopped at the end."""
    with _server("bare_server", pace.words()) as fresh:
        yield fresh


@contextmanager
def _server(module: str, words: Sequence[str], **environment: str) -> Iterator[Started]:
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.overhead.{module}", *words, "--port", str(port)]
    with served(command, f"http://127.0.0.1:{port}", **environment) as fresh:
        yield fresh


def all_ways(replicas: Sequence[Replicas], *, via_agent: bool, with_defaults: bool) -> list[Way]:
    """What is compared with the bare server: the no-hop ingress once, the others for each number of replicas."""
    found = [Way("no-hop", "the ingress generates, behind HAProxy", has_hop=False)]
    for each in replicas:
        found += _ways_with(each, via_agent=False)
    if via_agent:
        for each in replicas:
            found += _ways_with(each, via_agent=True)
    if with_defaults:
        found.append(Way("defaults", "as `manta up`, in Serve's defaults", is_fast=False))
    return found


def _ways_with(replicas: Replicas, *, via_agent: bool) -> Iterator[Way]:
    transports: tuple[Transport | None, ...] = ("channel", "plain") if has_transports() else (None,)
    for transport in transports:
        name: str = transport or "plain"
        name += "-agent" if via_agent else ""
        name += "" if replicas == ONE else f"-{replicas}"
        path = "ingress -> agent -> engine" if via_agent else "ingress -> engine"
        what = f"`manta up`, {path}, streams by {transport or 'handle messages'}, {replicas} replicas"
        yield Way(name, what, replicas, transport, via_agent=via_agent)
