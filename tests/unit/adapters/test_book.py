from __future__ import annotations

import pytest

from configs.schema import LocalFolder, LoraConfig, VllmModel
from serve_app.adapters.base import Adapter, MemoryAdapters
from serve_app.adapters.book import KEEP_S, AdapterBook, configured_adapters
from serve_app.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_what_another_replica_loaded_is_known_within_a_second() -> None:
    store, clock = MemoryAdapters(), Clock()
    here, there = AdapterBook([], store, clock), AdapterBook([], store, clock)
    assert await here.find("poet") is None
    await there.put(Adapter("poet", "chat", "folder"))
    assert (await there.find("poet")) is not None
    assert await here.find("poet") is None
    clock.now_s += KEEP_S
    assert (await here.find("poet")) == (await there.find("poet"))
    assert here.known("poet") is not None
    assert await there.remove("poet")
    assert not await there.remove("poet")
    assert await there.find("poet") is None
    clock.now_s += KEEP_S
    assert await here.find("poet") is None


class AwayAdapters(MemoryAdapters):
    """A store that does not answer while it is away."""

    is_away = False

    async def all(self) -> dict[str, Adapter]:
        if self.is_away:
            raise Unavailable("away")
        return await super().all()


async def test_what_was_read_holds_while_the_store_is_away() -> None:
    store, clock = AwayAdapters(), Clock()
    book = AdapterBook([], store, clock)
    store.is_away = True
    with pytest.raises(Unavailable):
        await book.find("poet")
    store.is_away = False
    await book.put(Adapter("poet", "chat", "folder"))
    assert await book.find("poet") is not None
    store.is_away = True
    clock.now_s += KEEP_S
    assert await book.find("poet") is not None
    store.is_away = False
    await store.remove("poet")
    clock.now_s += KEEP_S
    assert await book.find("poet") is None


async def test_what_is_configured_is_always_there_and_the_same_everywhere() -> None:
    lora = LoraConfig(adapters={"poet": "folder"})
    model = VllmModel(engine="vllm", name="chat", weights=LocalFolder(path="/m"), lora=lora)
    first, second = configured_adapters([model]), configured_adapters([model])
    assert first == second == [Adapter("poet", "chat", "folder", "folder")]
    book = AdapterBook(first, MemoryAdapters())
    assert book.known("poet") == first[0]
    assert book.is_configured("poet")
    assert not await book.remove("poet")
    assert (await book.find("poet")) == first[0]


async def test_a_name_that_another_replica_knew_is_looked_up_at_once() -> None:
    store, clock = MemoryAdapters(), Clock()
    here, there = AdapterBook([], store, clock), AdapterBook([], store, clock)
    assert await here.find("poet") is None
    await there.put(Adapter("poet", "chat", "folder"))
    assert await here.find("poet") is None
    assert await here.find_told("poet") == await there.find("poet")
    assert await here.find_told("nobody") is None
