"""What is imported is declared: a library that comes along with another may leave with it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmarks", "cluster", "configs", "kuberay", "manta", "serve_app")
# Each has an environment of its own.
ELSEWHERE = {"litellm", "ragas"}


def imported() -> dict[str, str]:
    """Top-level module of another distribution -> one of the files that import it."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found: dict[str, str] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in names(node):
                found[name.partition(".")[0]] = path.relative_to(ROOT).as_posix()
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, *PACKAGES}}


def names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name in extras if name != "dev" for line in extras[name])]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in wanted}  # type: ignore[index]


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_what_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    known = declared()
    missing = {
        name: path
        for name, path in imported().items()
        if name not in ELSEWHERE and not known & {normal(each) for each in distributions.get(name, [])}
    }
    assert missing == {}
