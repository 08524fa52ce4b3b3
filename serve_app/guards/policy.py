"""Which patterns hold for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import GuardPolicies, GuardsConfig, InputPolicies
from serve_app.guards.base import Action, Pattern
from serve_app.guards.patterns import PERSONAL, SECRETS, topic_patterns
from serve_app.guards.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one direction; None: nothing is looked for."""

    scanner: Scanner | None
    injection: Action | None = None

    @property
    def is_on(self) -> bool:
        return self.scanner is not None or self.injection is not None

    @property
    def hides(self) -> bool:
        """Whether there is anything that may not be seen on the other side."""
        return self.injection is Action.BLOCK or (self.scanner is not None and self.scanner.hides)

    @property
    def blocks(self) -> bool:
        return self.injection is Action.BLOCK or (self.scanner is not None and self.scanner.blocks)


class Policies:
    """The rules of every tenant, compiled once for each that differs."""

    def __init__(self, config: GuardsConfig) -> None:
        self._config = config
        self._topics = topic_patterns(config.topics)
        self._scanners: dict[tuple[str, str, str], Scanner | None] = {}
        self._default = (self._rules(config.input), self._rules(config.output))
        self._of = {
            tenant.name: (self._rules(tenant.input), self._rules(tenant.output)) for tenant in config.tenants
        }

    def input(self, tenant: str) -> Rules:
        return self._of.get(tenant, self._default)[0]

    def output(self, tenant: str) -> Rules:
        return self._of.get(tenant, self._default)[1]

    def _rules(self, policies: GuardPolicies) -> Rules:
        key = (policies.pii, policies.secrets, policies.topics)
        if key not in self._scanners:
            self._scanners[key] = self._scanner(policies)
        injection = policies.injection if isinstance(policies, InputPolicies) else "off"
        return Rules(self._scanners[key], None if injection == "off" else Action(injection))

    def _scanner(self, policies: GuardPolicies) -> Scanner | None:
        personal = [PERSONAL[kind] for kind in dict.fromkeys(self._config.personal)]
        # Secrets first: where two begin at the same place, the more certain shape is it.
        wanted: list[tuple[Sequence[Pattern], str]] = [
            (SECRETS, policies.secrets),
            (personal, policies.pii),
            (self._topics, policies.topics),
        ]
        chosen = [
            (pattern, Action(policy))
            for patterns, policy in wanted
            if policy != "off"
            for pattern in patterns
        ]
        return Scanner(chosen) if chosen else None
