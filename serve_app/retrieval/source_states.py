"""Keeps what is known of each source, in the manifest, as looks, changes and failures go by.

It is written after what it tells of, and not in one step with it: a crash in between leaves a source that
is called stale until the next look, never one that is called fresh and is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from serve_app.messages import DocumentOutcome, SourceStanding, SyncPlan
from serve_app.retrieval import currency
from serve_app.retrieval.currency import SourceState
from serve_app.retrieval.manifest import Manifest, Recipe

_MAX_REASON_CHARS = 500


class SourceStates:
    """The states of all tenants' sources.

    Args:
        manifest: where they are kept.
        now: the time, in UTC.
        configured: tenant -> names of the sources that the configuration has for it.
        max_age_s: see `currency.standing`.
    """

    def __init__(
        self,
        manifest: Manifest,
        now: Callable[[], datetime],
        configured: Mapping[str, Collection[str]],
        max_age_s: float | None,
    ) -> None:
        self._manifest = manifest
        self._now = now
        self._configured = configured
        self._max_age_s = max_age_s

    async def looked(self, tenant: str, source: str, plan: SyncPlan) -> None:
        state = await self._state(tenant, source) or SourceState(source)
        await self._keep(tenant, currency.after_look(state, plan, self._now()))

    async def changed(
        self, tenant: str, source: str, outcomes: Sequence[DocumentOutcome], num_removed: int = 0
    ) -> None:
        """Of a source that was never looked at nothing is kept: what was sent is what there is."""
        state = await self._state(tenant, source)
        if state is not None:
            after = currency.after_change(state, outcomes, num_removed, self._now())
            if after != state:
                await self._keep(tenant, after)

    async def failed(self, tenant: str, source: str, reason: str) -> None:
        state = await self._state(tenant, source) or SourceState(source)
        told = " ".join(reason.split())[:_MAX_REASON_CHARS]
        await self._keep(tenant, currency.after_failure(state, told, self._now()))

    async def standings(
        self,
        tenant: str,
        num_by_recipe: Mapping[str, Mapping[Recipe | None, int]],
        recipe: Recipe | None,
    ) -> tuple[SourceStanding, ...]:
        """How current every source of the tenant is, by name.

        Args:
            tenant: whose.
            num_by_recipe: source -> how its documents were made -> how many.
            recipe: how documents are made now; None: the embedder does not say.
        """
        states = {
            name: SourceState.decoded(text)
            for name, text in (await self._manifest.source_states(tenant)).items()
        }
        names = {*states, *num_by_recipe, *self._configured.get(tenant, ())}
        now = self._now()
        return tuple(
            currency.standing(
                name, states.get(name), num_by_recipe.get(name, {}), recipe, now, self._max_age_s
            )
            for name in sorted(names)
        )

    async def _state(self, tenant: str, source: str) -> SourceState | None:
        text = (await self._manifest.source_states(tenant)).get(source)
        return None if text is None else SourceState.decoded(text)

    async def _keep(self, tenant: str, state: SourceState) -> None:
        await self._manifest.put_source_state(tenant, state.source, state.encoded())
