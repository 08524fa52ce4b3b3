"""The embedded base, its process killed for real at each step of a sync."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path

import dying_sync
from dying_sync import AFTER, BEFORE, TENANT, context, opened, sync

from serve_app.messages import SearchMode, SearchQuery
from serve_app.retrieval.knowledge import KnowledgeBase

NEW_WORDS = {"a.md": "squid", "new.md": "whale"}  # of what each document became


async def found(base: KnowledgeBase, word: str) -> list[str]:
    result = await base.search(SearchQuery(word, k=50, mode=SearchMode.LEXICAL), context())
    return sorted(passage.path for passage in result.passages)


async def killed(home: Path, step: int) -> tuple[int, list[str]]:
    """How the process of a sync ended that dies before that step, and what it had acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(dying_sync.__file__), str(home), str(step), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, told.decode().split()


async def test_killed_before_each_step(tmp_path: Path) -> None:
    """The base answers at once with all that was acknowledged, nothing is there twice, the next sync mends the rest."""
    base = opened(tmp_path / "before")
    await sync(base, BEFORE)
    await base.close()
    ends: list[int] = []
    for step in range(50):
        home = tmp_path / f"{step}"
        shutil.copytree(tmp_path / "before", home)
        code, acknowledged = await killed(home, step)
        ends.append(code)
        base = opened(home)
        try:
            assert "b.md" in await found(base, "kelp")
            assert await found(base, "reef") == ["a.md"]  # in its old version and in the new one
            for path in acknowledged:
                assert path in await found(base, NEW_WORDS[path])
            await sync(base, AFTER)
            assert await found(base, "reef") == ["a.md"]
            assert await found(base, "squid") == ["a.md"]
            assert await found(base, "whale") == ["new.md"]
            assert await found(base, "kelp") == ["b.md", "new.md"]
            wanted = await base._manifest.chunk_ids(TENANT)
            assert await base._store.chunk_ids(TENANT) == {one for ids in wanted.values() for one in ids}
            assert (await base.status(context())).num_chunks == 5
            assert await sync(base, AFTER) == []
        finally:
            await base.close()
        if code == 0:
            break
    assert ends[-1] == 0
    assert set(ends[:-1]) == {-signal.SIGKILL}
    assert len(ends) > 8  # both documents' writes, deletes and records, and the removal's
