"""Which limits a request has to pass, from the configuration. Pure."""

from __future__ import annotations

from configs.schema import DoorConfig, LimitsConfig
from serve_app.limits.base import NANO_PER_USD, Check, Kind

_BURST_REQUESTS_S = 10.0  # of requests, when a configuration does not say
_MAX_KEPT = 4096


class CheckBook:
    """The checks of each (who, tenant, model), kept once they are made: they only follow from the configuration."""

    def __init__(self, config: DoorConfig) -> None:
        self._config = config
        self._tenants = {tenant.name: tenant for tenant in config.tenants}
        self._kept: dict[tuple[str, LimitsConfig | None, str, str | None], tuple[Check, ...]] = {}

    def checks(
        self, who: str | None, own: LimitsConfig | None, tenant: str, model: str | None
    ) -> tuple[Check, ...]:
        """What a request has to pass.

        Args:
            who: the id of a key or of a token's subject; None: nobody known, who has no limit of their own.
            own: limits of that key, instead of those that the configuration has for all.
            tenant: theirs.
            model: what they ask for; None: nothing that is a model.
        """
        place = (who or "", own, tenant, model)
        found = self._kept.get(place)
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            found = self._kept[place] = self._make(who, own, tenant, model)
        return found

    def _make(
        self, who: str | None, own: LimitsConfig | None, tenant: str, model: str | None
    ) -> tuple[Check, ...]:
        config = self._config
        special = self._tenants.get(tenant)
        checks: list[Check] = []
        if who is not None:
            checks += _of(f"key:{who}", own if own is not None else config.key_limits)
        checks += _of(f"tenant:{tenant}", special.limits if special is not None else config.tenant_limits)
        if model is not None:
            if special is not None and model in special.models:
                checks += _of(f"tenant:{tenant} model:{model}", special.models[model])
            if model in config.model_limits:
                checks += _of(f"model:{model}", config.model_limits[model])
        return tuple(checks)


def _of(scope: str, limits: LimitsConfig) -> list[Check]:
    checks = []
    if limits.requests_per_min is not None:
        rate = limits.requests_per_min
        burst = limits.burst_requests or max(1.0, rate * _BURST_REQUESTS_S / 60.0)
        checks.append(Check(Kind.REQUESTS, scope, rate, float(burst)))
    if limits.tokens_per_min is not None:
        burst = limits.burst_tokens or max(1.0, limits.tokens_per_min)
        checks.append(Check(Kind.TOKENS, scope, limits.tokens_per_min, float(burst)))
    if limits.max_concurrent is not None:
        checks.append(Check(Kind.CONCURRENT, scope, float(limits.max_concurrent)))
    for kind, usd in ((Kind.DAY, limits.usd_per_day), (Kind.MONTH, limits.usd_per_month)):
        if usd is not None:
            checks.append(Check(kind, scope, usd * NANO_PER_USD))
    return checks
