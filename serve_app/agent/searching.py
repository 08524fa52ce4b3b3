"""The states that find passages: RETRIEVE, GRADE_CTX, REWRITE, WEB."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.agent.budget import within
from serve_app.agent.fallback import found_nothing, settle, without_passages
from serve_app.agent.grade import Grade, Verdict, grade
from serve_app.agent.helper import helped
from serve_app.agent.pages import MAX_PAGE_CHARS, WEB_SOURCE, passage_of
from serve_app.agent.parts import Events, Parts
from serve_app.agent.run import Run
from serve_app.agent.states import Flag, Loop, State, WebMode
from serve_app.agent.web_queries import is_plain, web_queries
from serve_app.errors import BadRequest, MantaError
from serve_app.grounding.prompt import sources_of
from serve_app.grounding.suspicion import suspicion
from serve_app.grounding.untrusted import clean
from serve_app.messages import AgentEvent, Passage, RequestContext, SearchQuery, SearchResult
from serve_app.websearch.base import WebQuery, WebResult

logger = logging.getLogger("manta.agent")


@dataclass(frozen=True, slots=True)
class _Found:
    """What the knowledge base gave; `result` is None if it gave nothing."""

    result: SearchResult | None
    flags: tuple[str, ...]
    took_ms: float


_Pages = tuple[tuple[str, ...], tuple[Passage, ...]]  # queries, and what they found


class Searching:
    """Finds passages, judges them by their features, and looks elsewhere if they do not fit."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config

    # ------------------------------------------------------------ states

    async def retrieve(self, run: Run) -> Events:
        found = await self._search(run)
        withheld = self._take(run, found.result.passages if found.result else ())
        yield _retrieval_event(run, found, withheld)
        if found.result is None:
            without_passages(run, self._parts)
        else:
            run.move(State.GRADE_CTX)

    async def grade(self, run: Run) -> Events:
        result = self._graded(run)
        run.verdict = result.verdict
        yield AgentEvent("grade", result.data())
        if result.verdict is Verdict.INCORRECT:
            if self._parts.can_loop(run, Loop.REWRITE):
                run.move(State.REWRITE)
            else:
                without_passages(run, self._parts)
            return
        run.is_grounded = True
        if result.verdict is Verdict.AMBIGUOUS and self._parts.can_search(run, WebMode.AUGMENT):
            run.web_mode = WebMode.AUGMENT
            run.move(State.WEB)
        else:
            run.move(State.GENERATE)

    async def rewrite(self, run: Run) -> Events:
        helper, question = self._parts.helper, run.question
        assert helper is not None
        run.loops += (Loop.REWRITE,)
        queries: tuple[str, ...] = ()
        try:
            queries = await helped(
                run,
                lambda own: helper.rewrite(question.question, question.history, own),
                self._config.budget.rewrite_s,
                "rewrite",
            )
        except MantaError as exc:
            run.context.deadline.check("rewrite")
            logger.warning("the question was not rewritten: %s", exc)
        yield AgentEvent("rewrite", {"queries": list(queries)})
        if not queries or queries == run.queries:
            without_passages(run, self._parts)
            return
        run.queries = queries
        run.move(State.RETRIEVE)

    async def web(self, run: Run) -> Events:
        run.loops += (Loop.WEB,)
        found: _Found | None = None
        if run.web_mode is WebMode.FIRST:
            (queries, pages), found = await self._both(run)
        else:
            queries, pages = await self._pages(run)
        yield _web_event(run, queries, pages)
        if found is not None:
            result = found.result
            run.embedding_id = result.embedding_id if result else None
            withheld = self._take(run, result.passages if result else ())
            yield _retrieval_event(run, found, withheld)
        if pages:
            self._use(run, pages, found)
        self._after_web(run, found)

    # ------------------------------------------------------------ the knowledge base

    async def _search(self, run: Run) -> _Found:
        """Raises BadRequest: a filter or k that the client has to change."""
        k = self._config.num_passages if run.question.k is None else run.question.k
        joins = self._config.joins_neighbours
        query = SearchQuery(run.queries[0], k, filters=run.question.filters, joins=joins)
        clock = asyncio.get_running_loop().time
        start_s = clock()
        result: SearchResult | None = None
        try:
            # The client keeps to the deadline by itself; the timer is for one that hangs.
            result = await within(
                lambda own: self._parts.knowledge.search(query, own),
                run.context,
                self._config.budget.retrieve_s,
                "retrieve",
            )
            run.embedding_id, flags = result.embedding_id, result.flags
            run.stale_sources |= set(result.stale_sources)
        except BadRequest:
            raise
        except MantaError as exc:
            run.context.deadline.check("retrieve")
            logger.warning("the knowledge base gave nothing: %s", exc)
            flags = (Flag.KB_UNAVAILABLE,)
        run.flag(*flags)
        return _Found(result, tuple(str(flag) for flag in flags), round((clock() - start_s) * 1000, 3))

    def _take(self, run: Run, passages: Sequence[Passage]) -> list[str]:
        """Make these the run's passages, but for those that look like instructions; ids of the withheld."""
        kept: list[Passage] = []
        withheld: list[Passage] = []
        for passage in passages:
            texts = (passage.title, *passage.headings, passage.text)
            score = suspicion("\n".join(clean(text, MAX_PAGE_CHARS) for text in texts)).score
            (withheld if score >= self._config.withhold_at else kept).append(passage)
        run.passages, run.sources = tuple(kept), sources_of(kept)
        if withheld:
            run.flag(Flag.WITHHELD)
            run.note(f"Passages left out, because they read like instructions to a model: {len(withheld)}.")
        return [passage.id for passage in withheld]

    def _graded(self, run: Run) -> Grade:
        calibration = self._parts.calibrations.pick(run.embedding_id)
        if calibration is None:
            run.flag(Flag.UNCALIBRATED)
            logger.warning("the gate's calibration is not of the embedder %s", run.embedding_id)
        return grade(run.queries[0], run.passages, self._config.gate, calibration)

    # ------------------------------------------------------------ the web

    async def _both(self, run: Run) -> tuple[_Pages, _Found]:
        """Pages and passages, searched for at the same time."""
        searching = asyncio.create_task(self._search(run))
        try:
            pages = await self._pages(run)
            return pages, await searching
        finally:
            searching.cancel()
            await asyncio.gather(searching, return_exceptions=True)

    async def _pages(self, run: Run) -> _Pages:
        """(the queries, their pages, each once); a flag if not all of the web could be searched.

        The queries run at the same time, and what one of them found stays if another fails.
        """
        web, use = self._parts.web, self._parts.web_use
        assert web is not None
        texts = await self._web_texts(run)
        queries = web_queries(texts, run.question.question, run.web_mode, use)
        found: list[tuple[WebResult, ...]] = [()] * len(queries)

        async def search_one(at: int, query: WebQuery, own: RequestContext) -> None:
            found[at] = await web.search(query, own)

        async def search_all(own: RequestContext) -> None:
            searches = (search_one(at, query, own) for at, query in enumerate(queries))
            for fault in await asyncio.gather(*searches, return_exceptions=True):
                if fault is not None:
                    raise fault

        try:
            await within(search_all, run.context, self._config.budget.web_s, "web")
        except MantaError as exc:
            run.context.deadline.check("web")
            logger.warning("the web cannot be searched: %s", exc)
            run.flag(Flag.WEB_UNAVAILABLE)
        # The best of each query first.
        pages = {
            page.id: page
            for one in itertools.zip_longest(*found)
            for page in map(passage_of, filter(None, one))
        }
        return tuple(query.text for query in queries), tuple(pages.values())[: use.max_results]

    async def _web_texts(self, run: Run) -> tuple[str, ...]:
        """What to search the web for: a question that is no query is put into other words, where somebody can."""
        helper, question = self._parts.helper, run.question
        is_rewritten = run.queries != (question.question,)
        if helper is None or is_rewritten or is_plain(question.question, question.history):
            return run.queries
        try:
            return await helped(
                run,
                lambda own: helper.rewrite(question.question, question.history, own),
                self._config.budget.rewrite_s,
                "web queries",
            )
        except MantaError as exc:
            run.context.deadline.check("web")
            logger.warning("the question was not put into other words: %s", exc)
            return run.queries

    def _use(self, run: Run, pages: Sequence[Passage], found: _Found | None) -> None:
        """Put the pages where the mode wants them."""
        if run.web_mode is WebMode.REPLACE:
            self._take(run, pages)
        elif run.web_mode is WebMode.AUGMENT:
            self._take(run, (*run.passages, *pages))
        else:
            fits = bool(run.passages) and self._graded(run).verdict is not Verdict.INCORRECT
            self._take(run, (*pages, *(run.passages if fits else ())))

    def _after_web(self, run: Run, found: _Found | None) -> None:
        has_pages = any(passage.source == WEB_SOURCE for passage in run.passages)
        if has_pages:
            run.verdict, run.is_grounded = Verdict.AMBIGUOUS, True  # no feature speaks of pages
            run.move(State.GENERATE)
        elif run.decision is not None:  # a draft that did not fit, and nothing new to make another from
            settle(run, self._config)
            run.move(State.GUARD_OUT)
        elif found_nothing(run):
            run.move(State.GUARD_OUT)
        elif run.web_mode is WebMode.AUGMENT:
            run.move(State.GENERATE)
        elif found is not None and found.result is not None:
            run.move(State.GRADE_CTX)
        else:
            without_passages(run, self._parts)


def _retrieval_event(run: Run, found: _Found, withheld: Sequence[str]) -> AgentEvent:
    passages = found.result.passages if found.result else ()
    return AgentEvent(
        "retrieval",
        {
            "n": len(passages),
            "ids": [passage.id for passage in passages],
            "scores": [passage.score for passage in passages],
            "withheld": list(withheld),
            "flags": list(found.flags),
            "stale_sources": list(found.result.stale_sources) if found.result else [],
            "took_ms": found.took_ms,
        },
    )


def _web_event(run: Run, queries: Sequence[str], pages: Sequence[Passage]) -> AgentEvent:
    return AgentEvent(
        "web",
        {
            "mode": str(run.web_mode),
            "queries": list(queries),
            "n": len(pages),
            "urls": [page.path for page in pages],
        },
    )
