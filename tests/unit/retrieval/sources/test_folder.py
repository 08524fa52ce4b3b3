"""Which links of a folder are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.retrieval.sources.base import ObjectUnreadable, SourceObject
from serve_app.retrieval.sources.folder import FolderFiles, SingleFiles

MAX_BYTES = 1000


async def listed(source: FolderFiles | SingleFiles) -> dict[str, SourceObject]:
    return {one.path: one async for one in source.objects()}


async def test_a_link_out_of_the_folder_is_listed_and_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("of nobody else")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").symlink_to(secret)
    (folder / "c.txt").symlink_to("../secret.txt")
    source = FolderFiles("docs", folder, MAX_BYTES)
    found = await listed(source)
    assert set(found) == {"a.txt", "b.txt", "c.txt"}  # what is listed is not gone
    for path in ("b.txt", "c.txt"):
        assert (found[path].version, found[path].metadata) == (None, {})  # not even its hash or its date
        with pytest.raises(ObjectUnreadable, match="leads out of the folder"):
            await source.read(found[path], MAX_BYTES)


async def test_a_link_that_is_turned_round_after_the_listing_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("of nobody else")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    source = FolderFiles("docs", folder, MAX_BYTES)
    [found] = (await listed(source)).values()
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ObjectUnreadable, match="leads out of the folder"):
        await source.read(found, MAX_BYTES)


async def test_links_inside_the_folder_are_read_as_volumes_of_kubernetes_have_them(tmp_path: Path) -> None:
    real = tmp_path / "real"
    version = real / "..2026_01_01"
    version.mkdir(parents=True)
    (version / "handbook.md").write_text("Twenty-five days.")
    (real / "..data").symlink_to("..2026_01_01")
    (real / "handbook.md").symlink_to("..data/handbook.md")
    (tmp_path / "docs").symlink_to(real)  # the folder itself may be one
    source = FolderFiles("docs", tmp_path / "docs", MAX_BYTES)
    found = await listed(source)
    assert set(found) == {"handbook.md"}
    content = await source.read(found["handbook.md"], MAX_BYTES)
    assert content is not None
    assert content.data == b"Twenty-five days."


async def test_a_link_that_is_named_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    source = SingleFiles("files", [tmp_path / "b.txt"], MAX_BYTES)
    content = await source.read((await listed(source))["b.txt"], MAX_BYTES)
    assert content is not None
    assert content.data == b"a"
