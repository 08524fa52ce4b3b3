"""The embedded base on a disk that is full for real: a small one of this test's own, in a namespace of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MOUNTED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
FILLING = """
import asyncio, json, sys
from pathlib import Path
from dying_sync import context, document, opened
from serve_app.errors import StorageFull
from serve_app.messages import DocumentInput, SearchMode, SearchQuery

async def found(base, word):
    return [one.path for one in (await base.search(SearchQuery(word, mode=SearchMode.LEXICAL), context())).passages]

async def main(home):
    base = opened(home)
    await base.put_documents("docs", [document("first.md", "reef")], context())
    filler, told = home / "filler", {}
    with filler.open("wb") as stream:
        try:
            while True:
                stream.write(b"x" * 65536)
                stream.flush()
        except OSError as exc:
            told["disk"] = exc.errno
    try:
        await base.put_documents("docs", [DocumentInput("big.md", b"whale kelp squid " * 20_000)], context())
    except StorageFull as exc:
        told["refused"] = exc.message
    told["while full"] = await found(base, "reef")
    filler.unlink()
    [again] = await base.put_documents("docs", [document("second.md", "whale")], context())
    told["again"] = str(again.status)
    told["afterwards"] = [await found(base, word) for word in ("reef", "whale")]
    await base.close()
    print(json.dumps(told))

asyncio.run(main(Path(sys.argv[1])))
"""


def can_mount(folder: Path) -> bool:
    try:
        done = subprocess.run([*MOUNTED, f"mount -t tmpfs none '{folder}'"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def test_what_was_stored_answers_and_writes_go_on_once_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("no small disk: unprivileged user namespaces are not allowed here")
    script = tmp_path / "filling.py"
    script.write_text(FILLING)
    standins = Path(__file__).resolve().parents[2] / "standins"
    mount = f"mount -t tmpfs -o size=4m none '{disk}'"
    run = f"PYTHONPATH='{standins}' '{sys.executable}' '{script}' '{disk}'"
    done = subprocess.run(
        [*MOUNTED, f"{mount} && {run}"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told == {
        "disk": 28,
        "refused": "no space left on the disk of the knowledge base",
        "while full": ["first.md"],
        "again": "added",
        "afterwards": [["first.md"], ["second.md"]],
    }
