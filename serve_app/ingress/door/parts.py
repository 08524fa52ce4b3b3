"""The door that a configuration describes, with everything that it needs. Imports what is configured, and no more."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any

from configs.load import ProfileError, secret
from configs.schema import (
    AuditConfig,
    DoorConfig,
    GatewayConfig,
    IngressConfig,
    KeysConfig,
    OidcConfig,
    RedisConfig,
    SecretRef,
)
from serve_app.audit.files import RotatingFile
from serve_app.audit.log import AuditLog
from serve_app.errors import ConfigError
from serve_app.identity.authenticator import Authenticator
from serve_app.identity.base import KeyStore
from serve_app.identity.gateway import Gateway
from serve_app.identity.key_ring import KeyRing
from serve_app.identity.tokens import TokenVerifier
from serve_app.ingress.door.door import Door
from serve_app.limits.embedded import EmbeddedLimits
from serve_app.limits.ledger import Ledger
from serve_app.limits.limiter import Limiter
from serve_app.limits.tally import Tally

Work = Callable[[], Coroutine[Any, Any, None]]

_MAX_AUDIT_FILES = 1000


def open_door(
    config: DoorConfig,
    ingress: IngressConfig,
    folder: Path,
    names: Collection[str],
    agent_name: str,
    base_of: Callable[[str], str | None] = lambda _: None,
    tally: Tally | None = None,
    members: Mapping[str, Collection[str]] | None = None,
) -> Door | None:
    """The door; None: the configuration has none.

    Args:
        folder: Manta's home.
        names: of everything that can be written into `model`, adapters left out.
        base_of: the model of an adapter.
        tally: tells as metrics what is counted; None: nobody is told.
        members: a group -> the models that may answer for it.

    Raises:
        ConfigError: a secret is not set.
    """
    if not config.is_closed:
        return None
    background: list[Work] = []
    closing: list[Work] = []
    authenticator = Authenticator(
        keys=_key_ring(config, folder, background, closing),
        tokens=_tokens(config.authentication.oidc, closing),
        gateway=_gateway(config.authentication.gateway),
    )
    limiter = _limiter(config, ingress, folder, background, closing)
    audit = None if config.audit is None else _audit(config.audit, folder, background, closing)
    if tally is not None:
        background.append(tally.run)
        closing.append(tally.close)
    return Door(
        config,
        authenticator,
        limiter,
        audit,
        names=names,
        agent_name=agent_name,
        base_of=base_of,
        members=members,
        tally=tally,
        background=background,
        closing=closing,
    )


def open_key_store(keys: KeysConfig, redis: RedisConfig | None, folder: Path) -> KeyStore:
    """Where the keys are kept.

    Raises:
        ConfigError: Redis' password is not set.
    """
    if keys.store == "redis":
        from serve_app.identity.redis_keys import RedisKeyStore
        from serve_app.redis_client import open_redis

        assert redis is not None  # the schema sees to it
        return RedisKeyStore(open_redis(redis), redis.prefix)
    from serve_app.identity.embedded_keys import EmbeddedKeyStore

    return EmbeddedKeyStore(folder / "door" / "keys.sqlite3")


def audit_folder(config: AuditConfig, folder: Path) -> Path:
    return Path(config.folder).expanduser() if config.folder else folder / "audit"


def _key_ring(
    config: DoorConfig, folder: Path, background: list[Work], closing: list[Work]
) -> KeyRing | None:
    keys = config.authentication.keys
    if keys is None:
        return None
    store = open_key_store(keys, config.redis, folder)
    ring = KeyRing(store, keys)
    background.append(ring.keep_fresh)
    closing.append(store.close)
    return ring


def _tokens(issuers: Collection[OidcConfig], closing: list[Work]) -> TokenVerifier | None:
    if not issuers:
        return None
    import httpx

    from serve_app.identity.jwks import FETCH_TIMEOUT_S, JwksCache

    client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_S)
    closing.append(client.aclose)
    return TokenVerifier([(one, JwksCache(one, client)) for one in issuers])


def _gateway(config: GatewayConfig | None) -> Gateway | None:
    if config is None:
        return None
    secrets = [_secret(config.secret)]
    if config.previous_secret is not None:
        secrets.append(_secret(config.previous_secret))
    return Gateway(secrets)


def _limiter(
    config: DoorConfig, ingress: IngressConfig, folder: Path, background: list[Work], closing: list[Work]
) -> Limiter | None:
    if not config.is_counting:
        return None
    if config.redis is None:
        limiter = Limiter(EmbeddedLimits(Ledger(folder / "door" / "usage.sqlite3")))
    else:
        from serve_app.limits.redis_limits import RedisLimits
        from serve_app.redis_client import open_redis

        store = RedisLimits(open_redis(config.redis), config.redis.prefix)
        limiter = Limiter(store, max(1, ingress.scaling.max_replicas))
    background.append(limiter.run)
    closing.append(limiter.close)
    return limiter


def _audit(config: AuditConfig, folder: Path, background: list[Work], closing: list[Work]) -> AuditLog:
    place = audit_folder(config, folder)
    try:
        name, lock = _free_name(place)
        file = RotatingFile(place, name, config.max_file_bytes, config.num_files)
    except OSError as exc:
        raise ConfigError(f"the audit log cannot be written in {place}: {exc.strerror}") from exc
    log = AuditLog(file, config.max_unknown_per_s)
    background.append(log.run)

    async def close() -> None:
        await log.write()
        os.close(lock)

    closing.append(close)
    return log


def _free_name(folder: Path) -> tuple[str, int]:
    """The first `ingress-N` that no other process writes to, and the lock that says so.

    The lock ends with its process and the name is taken again, so there are no more files than replicas at once.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(_MAX_AUDIT_FILES):
        descriptor = os.open(
            folder / f".ingress-{number}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return f"ingress-{number}", descriptor
    raise ConfigError(f"{folder}: {_MAX_AUDIT_FILES} processes write audit logs there")


def _secret(reference: SecretRef) -> str:
    try:
        return secret(reference)
    except ProfileError as exc:
        raise ConfigError(f"door.authentication.gateway: {exc}") from exc
