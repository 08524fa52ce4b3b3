"""`python dying_sync.py HOME STEP`: a sync of the embedded base that kills its own process before its n-th change.

Changes are calls of the store or the manifest that write. What was acknowledged is printed, a document a line.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.schema import ChunkingConfig, KnowledgeConfig, LanceDbStoreConfig, MockEmbedder, RetrievalConfig
from serve_app.engines.embedding_edge import EmbeddingEdge
from serve_app.engines.mock import MockTextEmbedder
from serve_app.messages import Deadline, DocumentInput, RequestContext
from serve_app.retrieval.knowledge import KnowledgeBase
from serve_app.retrieval.stores.open import open_storage

CONFIG = KnowledgeConfig(
    store=LanceDbStoreConfig(kind="lancedb"),
    chunking=ChunkingConfig(max_tokens=32, overlap_tokens=0),
    retrieval=RetrievalConfig(duplicate_share=None),
)
TENANT = "acme"
_WRITING = ("upsert", "delete", "delete_source", "commit", "mark_incomplete")


def document(path: str, *words: str) -> DocumentInput:
    """A document of which each word becomes a chunk."""
    sections = "\n\n".join(f"## {word}\n\nWhat there is to say of {word}." for word in words)
    return DocumentInput(path, f"# {path}\n\n{sections}\n".encode())


BEFORE = (document("a.md", "reef", "whale"), document("b.md", "kelp"), document("gone.md", "squid"))
AFTER = (document("a.md", "reef", "squid"), document("b.md", "kelp"), document("new.md", "whale", "kelp"))


class Dying:
    """Passes calls on; the n-th one that writes, of all that share `left`, is the end of the process."""

    def __init__(self, target: Any, left: list[int]) -> None:
        self._target = target
        self._left = left

    def __getattr__(self, name: str) -> Any:
        if name in _WRITING:
            self._left[0] -= 1
            if self._left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._target, name)


def opened(home: Path, dies_before: int | None = None) -> KnowledgeBase:
    storage = open_storage(CONFIG.store, home)
    embedder = EmbeddingEdge(MockTextEmbedder(MockEmbedder(engine="mock", name="mock", dim=16)))
    store: Any = storage.store
    manifest: Any = storage.manifest
    if dies_before is not None:
        left = [dies_before]
        store, manifest = Dying(store, left), Dying(manifest, left)
    return KnowledgeBase(CONFIG, store, manifest, embedder, leases=storage.leases)


def context() -> RequestContext:
    return RequestContext("r", TENANT, Deadline.after(300.0))


async def sync(base: KnowledgeBase, documents: Sequence[DocumentInput]) -> list[str]:
    """Bring the base in line, a document a call; the paths that were sent, each printed once it is acknowledged."""
    states = {one.path: hashlib.sha256(one.content).hexdigest() for one in documents}
    plan = await base.plan_sync("docs", states, context())
    for one in documents:
        if one.path in plan.upload:
            await base.put_documents("docs", [one], context())
            sys.stdout.write(f"{one.path}\n")
            sys.stdout.flush()
    await base.delete_documents(plan.gone, context())
    return list(plan.upload)


async def main(home: Path, step: int) -> None:
    base = opened(home, step)
    await sync(base, AFTER)
    await base.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
