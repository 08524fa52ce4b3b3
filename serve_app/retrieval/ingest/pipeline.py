"""The stages as a streaming pipeline on Ray Data: the only file that knows it.

    list, plan (here) -> read (tasks) -> parse, cut, embed (a pool of actors) -> write (by the one keeper)

Blocks are small, and each operator stops when what follows does not keep up, so memory does not grow with
the input. Nothing of a run is kept but what the base's manifest says: a run that was killed is gone on with
by starting it again, which plans anew. A worker that dies is replaced, and its documents are done again;
writing them twice leaves them there once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import threading
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import ray
import ray.data
from ray import serve
from ray.data import ActorPoolStrategy, DataContext

from serve_app.engines.base import EmbeddingClient
from serve_app.engines.registry import open_embedder
from serve_app.errors import EngineFailed, MantaError, Unavailable
from serve_app.handles import EmbedderHandle
from serve_app.messages import (
    Deadline,
    DocumentOutcome,
    DocumentStatus,
    ModelCard,
    Priority,
    RequestContext,
    SyncPlan,
    Vectors,
)
from serve_app.retrieval.embedding import CheckedEmbedder, VectorSpace
from serve_app.retrieval.ingest.dead_letters import DeadLetter, DeadLetterFile
from serve_app.retrieval.ingest.job import Job, Watching
from serve_app.retrieval.ingest.keeper import Keeper
from serve_app.retrieval.ingest.stages import Failure, Made, Maker, Read, Wanted, read
from serve_app.retrieval.sources.base import Source, SourceObject
from serve_app.retrieval.sources.syncing import SyncReport, batches, check_removal, listing

T = TypeVar("T")

_BLOCK_BYTES = 4 * 1024 * 1024
_OBJECT_STORE_BYTES = 512 * 1024 * 1024  # of a Ray of its own: what is on its way between the stages
_QUIET = ("ray", "ray.data", "ray.serve")  # how far it is, is told by who watches
_MIN_PAGES_PER_WORKER = 4  # so that a short list keeps all workers busy to its end
_STEP_TIMEOUT_S = 600.0  # of the documents of one block
_DATA = "data"


@contextlib.contextmanager
def connected(address: str | None, num_workers: int) -> Iterator[None]:
    """A Ray to work on.

    Args:
        address: `local`: one of this run's own, ended with it. None: as Ray itself chooses, which in a Ray job is
            the cluster that it runs on.
        num_workers: that one of its own has CPUs for.
    """
    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {"address": address}
    if address == "local":
        own |= {
            "num_cpus": num_workers + 2,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    ray.init(**own, log_to_driver=False, logging_level=logging.ERROR)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def ingest(job: Job, letters: DeadLetterFile, watching: Watching = Watching()) -> SyncReport:  # noqa: B008
    """Bring one source up to date. A Ray is connected.

    Raises:
        SourceUnavailable: it cannot be listed; nothing was changed.
        WouldRemove: too much would be gone; nothing was changed.
        Unavailable, StorageFull: it broke off; what was written counts, and the next run goes on.
    """
    remote: Any = ray.remote
    card: ModelCard = _got(remote(num_cpus=0)(_card).remote(job))
    keeper: Any = remote(num_cpus=0, max_concurrency=32)(Keeper).remote(
        job.knowledge, job.home, job.tenant, card
    )
    try:
        return _run(job, keeper, card, letters, watching)
    except MantaError as exc:
        if job.only is None:
            with contextlib.suppress(MantaError):
                _got(keeper.failed.remote(job.source, exc.message))
        raise
    finally:
        with contextlib.suppress(MantaError):
            _got(keeper.close.remote())
        ray.kill(keeper)


def _run(job: Job, keeper: Any, card: ModelCard, letters: DeadLetterFile, watching: Watching) -> SyncReport:
    source = job.open_source()
    objects, report = asyncio.run(_listed(source))
    wanted = list(objects.values())
    gone: tuple[str, ...] = ()
    known: Mapping[str, str] = {}
    if job.only is None:
        states = {path: one.version or "" for path, one in objects.items()}
        plan: SyncPlan = _got(keeper.plan.remote(job.source, states))
        gone = plan.gone if source.is_whole else ()
        check_removal(job.source, len(gone), plan.num_known, len(objects), job.limits)
        wanted, known = [objects[path] for path in plan.upload], plan.known
        report += SyncReport(num_unchanged=plan.num_unchanged, num_skipped=source.num_skipped)
    else:
        wanted = [one for one in wanted if one.path in job.only]
    watching.listed(len(wanted) + len(gone))
    letters.add(_letters(job, [Failure(path, "", reason) for path, reason in report.failed]))
    for part, failures in _results(job, keeper, card, wanted, known):
        report += part
        letters.add(_letters(job, failures))
        watching.advance(part.num_added + part.num_changed + part.num_unchanged + len(part.failed))
    if gone:
        report += SyncReport(num_removed=_got(keeper.delete.remote(list(gone))))
        watching.advance(len(gone))
    return report


def _results(
    job: Job, keeper: Any, card: ModelCard, wanted: Sequence[SourceObject], known: Mapping[str, str]
) -> Iterator[tuple[SyncReport, list[Failure]]]:
    """What became of the documents, block by block, as they are done."""
    if not wanted:
        return
    context = DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    pages = [
        pa.table({_DATA: [pickle.dumps([Wanted(one, known.get(one.path, "")) for one in page])]})
        for page in _pages(wanted, job.num_workers)
    ]
    remote = job.application is not None
    flow = (
        ray.data.from_arrow(pages)
        .map_batches(
            _Reading,
            fn_constructor_args=(job,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=2 * job.num_workers + 2),
            num_cpus=0,
        )
        .map_batches(
            _Making,
            fn_constructor_args=(job, keeper, card),
            batch_size=None,
            batch_format="pyarrow",
            # Two blocks at once in a worker: the engine works on one while the other is read, parsed or stored.
            compute=ActorPoolStrategy(
                size=job.num_workers,
                max_tasks_in_flight_per_actor=4,
                max_concurrent_calls_per_actor=2,
                enable_true_multi_threading=True,
            ),
            num_cpus=0 if remote else job.cpus_per_worker,
        )
        .map_batches(
            _Writing,
            fn_constructor_args=(job, keeper),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=2 * job.num_workers + 2),
            num_cpus=0,
        )
    )
    try:
        for row in flow.iter_rows():
            part, failures = pickle.loads(row[_DATA])  # noqa: S301 (what our own actor wrote)
            yield part, failures
    except Exception as exc:
        raise _translated(exc) from exc


# ---------------------------------------------------------------- what runs in the workers


class _Loop:
    """An event loop in a thread of its own, for actors whose calls come from several threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ingest", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Reading:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._loop = _Loop()
        self._source = job.open_source()

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        for wanted in _rows(block):
            limit = self._job.limits.max_document_bytes
            yield _table(self._loop.run(read(self._source, wanted, limit, self._job.metadata)))


class _Making:
    def __init__(self, job: Job, keeper: Any, card: ModelCard) -> None:
        self._job = job
        self._loop = _Loop()
        client = self._loop.run(_open_client(job))
        assert card.embedding_id is not None
        assert card.dim is not None

        async def known(text_hashes: Collection[str]) -> Mapping[str, Vectors]:
            found: dict[str, Vectors] = await keeper.known.remote(list(text_hashes))
            return found

        self._maker = Maker(
            job.source,
            job.knowledge,
            CheckedEmbedder(client),
            VectorSpace(card.embedding_id, card.dim),
            known,
        )

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        for given in _rows(block):
            yield _table(self._loop.run(self._make(given)))

    async def _make(self, given: Read) -> Made:
        deadline = Deadline.after(_STEP_TIMEOUT_S)
        return await self._maker.make(
            given, RequestContext("ingest", self._job.tenant, deadline, Priority.BATCH)
        )


class _Writing:
    def __init__(self, job: Job, keeper: Any) -> None:
        self._source = job.source
        self._keeper = keeper

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        for made in _rows(block):
            outcomes: tuple[DocumentOutcome, ...] = ()
            if made.drafts:
                outcomes = _got(self._keeper.store.remote(self._source, made))
            yield _table(_told(made, outcomes))


def _told(made: Made, outcomes: Sequence[DocumentOutcome]) -> tuple[SyncReport, list[Failure]]:
    failures = list(made.failures)
    for outcome, (_, location) in zip(outcomes, made.drafts, strict=True):
        if outcome.status is DocumentStatus.FAILED:
            failures.append(Failure(outcome.path, location, outcome.reason))
    stored = [one for one in outcomes if one.status is not DocumentStatus.FAILED]
    failed = tuple((one.path, one.reason) for one in failures)
    return SyncReport.of(stored) + SyncReport(num_unchanged=made.num_unchanged, failed=failed), failures


async def _open_client(job: Job) -> EmbeddingClient:
    if job.application is not None:
        handle = serve.get_deployment_handle("Embedder", job.application)
        return EmbedderHandle(handle, "the embedder")
    num_threads = getattr(job.embedder, "num_threads", None) or max(1, int(job.cpus_per_worker))
    return await asyncio.to_thread(open_embedder, job.embedder, job.home, num_threads)


def _card(job: Job) -> ModelCard:
    return asyncio.run(_describe(job))


async def _describe(job: Job) -> ModelCard:
    client = await _open_client(job)
    card = await client.describe()
    close = getattr(client, "close", None)
    if close is not None:
        await close()
    return card


# ---------------------------------------------------------------- here


async def _listed(source: Source) -> tuple[dict[str, SourceObject], SyncReport]:
    try:
        return await listing(source)
    finally:
        await source.close()


def _pages(wanted: Sequence[SourceObject], num_workers: int) -> Iterator[list[SourceObject]]:
    """Documents that travel together: not too many bytes, and enough pages for everybody."""
    most = max(1, -(-len(wanted) // (_MIN_PAGES_PER_WORKER * num_workers)))
    for page in batches(wanted):
        for start in range(0, len(page), most):
            yield page[start : start + most]


def _letters(job: Job, failures: Sequence[Failure]) -> Iterator[DeadLetter]:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for one in failures:
        yield DeadLetter(job.tenant, job.source, one.path, one.location, one.reason, at)


def _table(thing: object) -> pa.Table:
    return pa.table({_DATA: pa.array([pickle.dumps(thing, protocol=5)], pa.large_binary())})


def _rows(block: pa.Table) -> Iterator[Any]:
    for data in block[_DATA]:
        yield pickle.loads(data.as_py())  # noqa: S301 (what the stage before wrote)


def _got(ref: Any) -> Any:
    """A call's result; its fault as one of our tree."""
    try:
        return ray.get(ref)
    except Exception as exc:
        raise _translated(exc) from exc


def _translated(exc: BaseException) -> MantaError:
    """The error of our tree that a fault of a worker is, or means."""
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, MantaError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    if isinstance(exc, ray.exceptions.RayActorError):
        return Unavailable(f"a worker of the ingestion is gone: {exc.__class__.__name__}")
    last = str(exc).strip().splitlines()[-1:] or [""]
    return EngineFailed(f"the ingestion failed: {exc.__class__.__name__}: {last[0]}")
