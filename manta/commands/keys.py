"""`manta keys`: make, list and revoke API keys, where the profile keeps them.

Works on the store itself, so that it needs no running application, and none can be asked for a key over HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape
from rich.table import Table

from configs.load import home, read_profile
from configs.schema import LimitsConfig, Name, PlatformConfig
from manta.console import err, out
from manta.profile_options import profile_option
from serve_app.audit.admin import write_act
from serve_app.errors import BadRequest, ConfigError, NotFound
from serve_app.identity.base import KeyRecord, KeyStore, Role, all_records
from serve_app.identity.key_ring import MAX_KEYS
from serve_app.identity.keys import make_key, parse_key, shown
from serve_app.ingress.door.parts import audit_folder, open_key_store

T = TypeVar("T")

_DAY_S = 86_400.0
_PROFILE = profile_option("Where keys are kept.")


@click.group("keys")
def command() -> None:
    """Make, list and revoke API keys."""


@command.command("create")
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose requests they are.")
@click.option(
    "--role", type=click.Choice([role.name.lower() for role in Role]), default="user", show_default=True
)
@click.option(
    "--days", type=click.FloatRange(0, 36_500, min_open=True), default=None, help="Days until it expires."
)
@click.option("--requests-per-min", type=float, default=None, help="Limits of this key alone.")
@click.option("--tokens-per-min", type=float, default=None)
@click.option("--max-concurrent", type=int, default=None)
@click.option("--usd-per-day", type=float, default=None)
@click.option("--usd-per-month", type=float, default=None)
@_PROFILE
def create(
    name: str, tenant: str, role: str, days: float | None, profile: Path, **limits: float | None
) -> int:
    """Make a key for NAME (a person, a team, a program) and print it, for the only time."""
    platform = _platform(profile)
    now_s = time.time()
    made = make_key(
        name,
        _tenant(tenant),
        Role.named(role),
        now_s,
        expires_at_s=None if days is None else now_s + days * _DAY_S,
        limits=_limits(limits),
    )

    async def add(store: KeyStore) -> None:
        if len(await all_records(store)) >= MAX_KEYS:
            raise ConfigError(f"there are {MAX_KEYS} keys, which is all that replicas keep in memory")
        await store.put(made.record)

    _with_store(platform, add)
    _write_act(platform, "key.create", made.record)
    err.print(
        f"key {shown(made.record.id)} for {name}, tenant {tenant}, role {role}; shown once:", markup=False
    )
    click.echo(made.key)
    return 0


@command.command("list")
@click.option("--all", "with_dead", is_flag=True, help="Those that were revoked or have expired, too.")
@_PROFILE
def list_keys(profile: Path, *, with_dead: bool) -> int:
    """Show the keys, without their secrets."""
    records = _with_store(_platform(profile), all_records)
    table = Table(box=None, pad_edge=False)
    for title in ("key", "name", "tenant", "role", "made", "state"):
        table.add_column(title)
    now_s = time.time()
    for record in records:
        state = _state(record, now_s)
        if with_dead or state == "good" or state.startswith("until"):
            row = (shown(record.id), record.name, record.tenant, record.role.name.lower())
            table.add_row(*map(escape, row), _day(record.created_at_s), state)
    out.print(table)
    return 0


@command.command("revoke")
@click.argument("key")
@_PROFILE
def revoke(key: str, profile: Path) -> int:
    """Refuse KEY from now on: its id, as `manta keys list` shows it, or the key itself."""
    platform = _platform(profile)
    key_id = _id_of(key)

    async def end(store: KeyStore) -> KeyRecord:
        found = next((one for one in await all_records(store) if one.id == key_id), None)
        if found is None:
            raise NotFound(f"there is no key {shown(key_id)}")
        revoked = found if found.revoked_at_s is not None else replace(found, revoked_at_s=time.time())
        await store.put(revoked)
        return revoked

    record = _with_store(platform, end)
    _write_act(platform, "key.revoke", record)
    keys = platform.door.authentication.keys
    assert keys is not None
    err.print(f"revoked {shown(key_id)}; replicas refuse it within {keys.poll_s:g} s", markup=False)
    return 0


def _platform(profile: Path) -> PlatformConfig:
    platform = read_profile(profile).platform
    if platform.door.authentication.keys is None:
        raise ConfigError(f"{profile}: keeps no keys; configure door.authentication.keys")
    return platform


def _with_store(platform: PlatformConfig, work: Callable[[KeyStore], Awaitable[T]]) -> T:
    keys = platform.door.authentication.keys
    assert keys is not None

    async def run() -> T:
        store = open_key_store(keys, platform.door.redis, home(platform))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _write_act(platform: PlatformConfig, action: str, record: KeyRecord) -> None:
    audit = platform.door.audit
    if audit is not None:
        write_act(audit, audit_folder(audit, home(platform)), action, record.id, record.tenant)


def _tenant(name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as exc:
        raise BadRequest(f"{name!r} is no name of a tenant", "tenant") from exc


def _limits(given: dict[str, float | None]) -> LimitsConfig | None:
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return LimitsConfig.model_validate(chosen) if chosen else None
    except ValidationError as exc:
        raise BadRequest("; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in exc.errors())) from exc


def _id_of(text: str) -> str:
    """Of a whole key, of one as it is shown, or of a bare id."""
    parsed = parse_key(text)
    return parsed[0] if parsed else text.removeprefix("manta_").partition("_")[0]


def _state(record: KeyRecord, now_s: float) -> str:
    if record.revoked_at_s is not None:
        return f"revoked {_day(record.revoked_at_s)}"
    if record.expires_at_s is None:
        return "good"
    return f"{'until' if now_s < record.expires_at_s else 'expired'} {_day(record.expires_at_s)}"


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).date().isoformat()
