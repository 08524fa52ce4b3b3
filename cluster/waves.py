"""The waves of what is applied, in their order: each is ready before the next one starts.

Knows no object: which families are in a wave is `cluster.render.families`' table.
"""

from __future__ import annotations

from typing import Literal, get_args

from cluster.plan_types import Wave

WaveName = Literal[
    "01-foundation",
    "02-nodes",
    "03-secrets",
    "04-stores",
    "05-application",
    "06-entrance",
    "07-operations",
]
_CONTENTS: dict[WaveName, tuple[str, str]] = {
    "01-foundation": (
        "namespaces, service accounts, roles, quotas, rules of the network",
        "the namespaces are Active",
    ),
    "02-nodes": ("what nodes may be bought", "every NodePool and its class is Ready"),
    "03-secrets": ("references to secrets", "every ExternalSecret is Ready: its Secret is there"),
    "04-stores": (
        "OpenSearch and the collector of traces, where they are in the cluster",
        "their pods are Ready",
    ),
    "05-application": ("Ray and the application", "the RayService is Ready: every deployment is HEALTHY"),
    "06-entrance": ("LiteLLM and the way in", "LiteLLM's pods are Ready and the entrance has an address"),
    "07-operations": ("monitors, rules, dashboards, scaling of ingestion, agents", "they are accepted"),
}
WAVES: tuple[WaveName, ...] = get_args(WaveName)


def waves() -> tuple[Wave, ...]:
    """All waves, the first to be applied first."""
    return tuple(
        Wave(number, name, _CONTENTS[name][0], _CONTENTS[name][1])
        for number, name in enumerate(WAVES, start=1)
    )
