"""A rendered tree on disk: written, or compared with what is there.

Removes what an earlier render wrote and this one does not, by the list that it keeps beside the files; nothing else.
"""

from __future__ import annotations

from pathlib import Path

from cluster.render.tree import Files
from serve_app.errors import ConfigError

LIST = ".rendered"  # the paths that a render wrote, one a line


def write(files: Files, folder: Path) -> list[str]:
    """Write the tree; what changed, by path: `+` new, `~` changed, `-` removed.

    Raises:
        ConfigError: the folder cannot be written, or holds files that no render of ours wrote.
    """
    before = _listed(folder)
    if not before and folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds files that this command did not write; choose an empty folder with --out"
        )
    changes = _differences(files, folder, before)
    try:
        for path in sorted(before - set(files)):
            (folder / path).unlink(missing_ok=True)
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        (folder / LIST).write_text("".join(f"{path}\n" for path in files), encoding="utf-8")
        _remove_empty(folder)
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be written: {exc}") from exc
    return changes


def compare(files: Files, folder: Path) -> list[str]:
    """What `write` would change."""
    return _differences(files, folder, _listed(folder))


def _differences(files: Files, folder: Path, before: set[str]) -> list[str]:
    changes = []
    for path, text in files.items():
        target = folder / path
        if not target.is_file():
            changes.append(f"+ {path}")
        elif target.read_text(encoding="utf-8") != text:
            changes.append(f"~ {path}")
    return changes + [f"- {path}" for path in sorted(before - set(files)) if (folder / path).exists()]


def _listed(folder: Path) -> set[str]:
    """Paths of an earlier render. One that leads out of the folder is nobody's to remove."""
    listing = folder / LIST
    if not listing.is_file():
        return set()
    paths = listing.read_text(encoding="utf-8").split("\n")
    return {path for path in paths if path and ".." not in Path(path).parts and not Path(path).is_absolute()}


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
