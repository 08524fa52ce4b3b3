from __future__ import annotations

import asyncio

import pytest

from serve_app.engines.base import TextChunk
from serve_app.engines.llamacpp.mailbox import Mailbox, Wakes
from serve_app.errors import EngineFailed


async def test_a_slow_reader_gets_the_text_joined_and_the_counts_of_the_last() -> None:
    mailbox = Mailbox()
    mailbox.put(TextChunk("a"))
    mailbox.put(TextChunk("b"))
    mailbox.put(TextChunk("c", "stop", num_prompt_tokens=3, num_completion_tokens=4))
    assert [chunk async for chunk in mailbox.chunks()] == [
        TextChunk("abc", "stop", num_prompt_tokens=3, num_completion_tokens=4)
    ]


async def test_a_reader_that_keeps_up_gets_every_chunk() -> None:
    mailbox = Mailbox()
    chunks = mailbox.chunks()
    for text in ("a", "b"):
        mailbox.put(TextChunk(text))
        assert await anext(chunks) == TextChunk(text)
    mailbox.put(TextChunk("", "length"))
    assert [chunk async for chunk in chunks] == [TextChunk("", "length")]


async def test_an_error_comes_after_the_text_before_it() -> None:
    mailbox = Mailbox()
    mailbox.put(TextChunk("a"))
    mailbox.fail(EngineFailed("broken"))
    chunks = mailbox.chunks()
    assert await anext(chunks) == TextChunk("a")
    with pytest.raises(EngineFailed, match="broken"):
        await anext(chunks)


async def test_an_error_alone_is_raised() -> None:
    mailbox = Mailbox()
    mailbox.fail(EngineFailed("broken"))
    with pytest.raises(EngineFailed):
        await anext(mailbox.chunks())


async def test_readers_are_woken_together_when_the_writer_says_so() -> None:
    wakes = Wakes()
    mailboxes = [Mailbox(wakes), Mailbox(wakes)]
    readers = [asyncio.create_task(anext(mailbox.chunks())) for mailbox in mailboxes]
    await asyncio.sleep(0)
    for mailbox in mailboxes:
        mailbox.put(TextChunk("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(reader.done() for reader in readers)
    wakes.send()
    assert [chunk.text for chunk in await asyncio.gather(*readers)] == ["a", "a"]
    wakes.send()  # nobody is due


async def test_an_error_waits_for_nobody() -> None:
    mailbox = Mailbox(Wakes())
    mailbox.fail(EngineFailed("broken"))
    with pytest.raises(EngineFailed):
        await anext(mailbox.chunks())
