"""Applications of this benchmark, started afresh: their keys made before, their Redis theirs alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.application import Started, fresh_home, manta, started_in, write_profile
from benchmarks.conformance.redis import Redis
from benchmarks.frontdoor.measure import Subject
from benchmarks.overhead.pace import MODEL
from benchmarks.target import Target
from configs.ports import free_port

Platform = Mapping[str, Any]


class SharedRedis:
    """A Redis of this run; every application gets names of its own in it, and finds nobody else's counts."""

    def __init__(self, port: int) -> None:
        self._url = f"redis://127.0.0.1:{port}/0"
        self._numbers = itertools.count(1)

    def fresh(self) -> dict[str, Any]:
        """`door.redis` of an application."""
        return {"url": self._url, "prefix": f"frontdoor-{next(self._numbers)}"}


@contextmanager
def redis_running(folder: Path) -> Iterator[SharedRedis]:
    """A server on loopback that keeps nothing.

    Raises:
        NoRedis: it is not installed, or does not start.
    """
    port = free_port()
    server = Redis(folder / "redis", port)
    try:
        yield SharedRedis(port)
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Open:
    """A ready application.

    Args:
        keys: tenant -> an API key of it.
    """

    process: Started
    keys: Mapping[str, str] = field(repr=False)

    def subject(self, tenant: str | None = None, *headers: tuple[str, str]) -> Subject:
        """Whom to measure, as a tenant that has a key."""
        key = None if tenant is None else self.keys[tenant]
        return Subject(Target(self.process.url, MODEL, key, headers), self.process.process_id)


@contextmanager
def opened(platform: Platform, folder: Path, tenants: Iterable[str] = ()) -> Iterator[Open]:
    """Start an application with a key for each of the tenants, and stop it at the end.

    Raises:
        CannotStart: it was not ready in time, or ended before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile = folder / "profile.yaml"
    write_profile(profile, platform)
    with fresh_home() as home:
        keys = {tenant: _key(home, profile, tenant) for tenant in tenants}
        with started_in(home, profile) as fresh:
            yield Open(fresh, keys)


def _key(home: Path, profile: Path, tenant: str) -> str:
    return manta(home, "keys", "create", tenant, "--tenant", tenant, "--profile", str(profile))
