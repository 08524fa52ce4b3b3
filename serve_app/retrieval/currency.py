"""How current a source is: what was seen of it when, and what is still to be done.

Pure: says what a look at a source, a change or a failure makes of what was known, and what that means.
Knows neither where it is kept nor who looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from serve_app.messages import DocumentOutcome, DocumentStatus, SourceStanding, Standing, SyncPlan
from serve_app.retrieval.manifest import Recipe


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is known of a source."""

    source: str
    checked_at: str = ""  # ISO 8601, UTC: when it was last compared with the base; "": never
    synced_at: str = ""  # when nothing was outstanding for the last time; "": never
    # As that comparison found them, less what was done since.
    num_new: int = 0
    num_changed: int = 0
    num_gone: int = 0
    num_failed: int = 0  # documents that could not be taken in since the last look
    failure: str = ""  # why the last sync broke off; "": it did not
    failed_at: str = ""

    @property
    def num_outstanding(self) -> int:
        return self.num_new + self.num_changed + self.num_gone

    def encoded(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def decoded(cls, text: str) -> SourceState:
        """The state; fields that it does not know are of a later version, and left out."""
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = json.loads(text)
        return cls(**{name: value for name, value in given.items() if name in known})


def after_look(state: SourceState, plan: SyncPlan, now: datetime) -> SourceState:
    """The source was listed, and compared with the base."""
    num_new = plan.num_new
    return _settled(
        replace(
            state,
            checked_at=_iso(now),
            num_new=num_new,
            num_changed=len(plan.upload) - num_new,
            num_gone=len(plan.gone),
            num_failed=0,
            failure="",
            failed_at="",
        ),
        now,
    )


def after_change(
    state: SourceState, outcomes: Sequence[DocumentOutcome], num_removed: int, now: datetime
) -> SourceState:
    """Documents were sent or removed. Of a source that nobody has looked at nothing is outstanding."""

    def count(status: DocumentStatus) -> int:
        return sum(one.status is status for one in outcomes)

    # A document that a plan wanted turns out to be as it was (another name of its state): it is done too.
    num_same = count(DocumentStatus.UNCHANGED)
    return _settled(
        replace(
            state,
            num_new=max(0, state.num_new - count(DocumentStatus.ADDED)),
            num_changed=max(0, state.num_changed - count(DocumentStatus.CHANGED) - num_same),
            num_gone=max(0, state.num_gone - num_removed),
            num_failed=state.num_failed + count(DocumentStatus.FAILED),
        ),
        now,
    )


def after_failure(state: SourceState, reason: str, now: datetime) -> SourceState:
    """A sync broke off."""
    return replace(state, failure=reason, failed_at=_iso(now))


def standing(
    source: str,
    state: SourceState | None,
    num_by_recipe: Mapping[Recipe | None, int],
    recipe: Recipe | None,
    now: datetime,
    max_age_s: float | None,
) -> SourceStanding:
    """What that means.

    Args:
        source: its name.
        state: what is known of it; None: documents were sent, or not even that.
        num_by_recipe: documents in the base by how they were made; None stands for incomplete ones.
        recipe: how documents are made now; None: the embedder does not say.
        now: the time.
        max_age_s: seconds after which a look is too old to be believed; None: it does not age.
    """
    num_documents = sum(num_by_recipe.values())
    num_outdated = 0 if recipe is None else num_documents - num_by_recipe.get(recipe, 0)
    known = state or SourceState(source)
    kind, reason = _judged(known, state is not None, num_documents, num_outdated, now, max_age_s)
    made = [one for one in num_by_recipe if one is not None]
    return SourceStanding(
        source=source,
        standing=kind,
        reason=reason,
        num_documents=num_documents,
        num_new=known.num_new,
        num_changed=known.num_changed,
        num_gone=known.num_gone,
        num_outdated=num_outdated,
        num_failed=known.num_failed,
        checked_at=known.checked_at,
        synced_at=known.synced_at,
        embedding_ids=tuple(sorted({one.embedding_id for one in made})),
        chunker_versions=tuple(sorted({one.chunker_version for one in made})),
    )


def _judged(
    state: SourceState,
    is_known: bool,  # noqa: FBT001
    num_documents: int,
    num_outdated: int,
    now: datetime,
    max_age_s: float | None,
) -> tuple[Standing, str]:
    if state.failure:
        return Standing.FAILING, state.failure
    if is_known and state.num_failed:
        return Standing.FAILING, f"{state.num_failed} documents could not be taken in"
    if not is_known and not num_documents:
        return Standing.NEVER_SYNCED, "nobody has looked at it yet"
    parts = [
        f"{num} {what}"
        for num, what in (
            (state.num_changed, "changed"),
            (state.num_new, "new"),
            (state.num_gone, "gone"),
            (num_outdated, "made by another embedder, chunker or loader, or incomplete"),
        )
        if num
    ]
    age_s = _age_s(state.checked_at, now)
    if max_age_s is not None and age_s is not None and age_s > max_age_s:
        parts.append(f"not looked at for {age_s:.0f} s")
    return (Standing.STALE, ", ".join(parts)) if parts else (Standing.FRESH, "")


def _settled(state: SourceState, now: datetime) -> SourceState:
    is_done = state.checked_at and not state.num_outstanding and not state.num_failed
    return replace(state, synced_at=_iso(now)) if is_done else state


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _age_s(moment: str, now: datetime) -> float | None:
    return (now - datetime.fromisoformat(moment)).total_seconds() if moment else None
