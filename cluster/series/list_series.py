"""Writes `ray.json` and `vllm.json`: every series that these versions of Ray and vLLM export, read from their source.

    python -m cluster.series.list_series .venv/lib/python3.11/site-packages .venv-vllm/lib/python3.11/site-packages

Nothing of theirs is imported or run. Left out are series whose names are only known at run time.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.series.catalogue import exported_names

FOLDER = Path(__file__).parent
# Where Ray makes instruments in Python. Of those in C++ only what Ray's own dashboards show is known.
RAY_PLACES = ("ray/serve", "ray/dashboard/modules/reporter")
RAY_LABELS = "ray/dashboard/consts.py"
RAY_DASHBOARDS = "ray/dashboard/modules/metrics/dashboards"
VLLM_PLACES = ("vllm/v1/metrics", "vllm/v1/spec_decode")
_KINDS = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}
# What Serve's instruments add of their own, inside a replica.
_SERVE_LABELS = ("deployment", "replica", "application")
_IN_THE_CONTROLLER = frozenset({"deployment_state.py"})
_OTHERS = re.compile(r"^ray_(vllm|sglang|data|train|tpu)_|grpc|_(bucket|sum|count)$")
_IN_DASHBOARDS = re.compile(r"\b(ray_[a-z0-9_]*[a-z0-9])\{")


@dataclass(frozen=True, slots=True)
class Found:
    """An instrument in the source."""

    name: str
    kind: str
    labels: tuple[str, ...]


def main(ray_site: Path, vllm_site: Path) -> None:
    write_ray(ray_site)
    write_vllm(vllm_site)


def write_ray(site: Path) -> None:
    """The instruments of Ray's own Python, and what else its dashboards show."""
    found = {one.name: one for one in _instruments(site, RAY_PLACES, site / RAY_LABELS)}
    series = {f"ray_{name}": _entry(one) for name, one in found.items()}
    known = {exported for name, one in found.items() for exported in exported_names(f"ray_{name}", one.kind)}
    for name in _shown(site / RAY_DASHBOARDS):  # of which no labels are known
        if name not in known and not _OTHERS.search(name):
            series[name] = {"kind": "counter" if name.endswith("_total") else "gauge", "labels": None}
    _write("ray.json", _version(site, "ray"), series)


def write_vllm(site: Path) -> None:
    found = _instruments(site, VLLM_PLACES, None)
    _write("vllm.json", _version(site, "vllm"), {one.name: _entry(one) for one in found})


def _entry(one: Found) -> dict[str, object]:
    return {"kind": one.kind, "labels": list(one.labels)}


def _instruments(site: Path, places: tuple[str, ...], more: Path | None) -> Iterator[Found]:
    shared = {} if more is None else _assigned(ast.parse(more.read_text()))
    for place in places:
        for path in sorted((site / place).rglob("*.py")):
            if "test" not in path.name:
                tree = ast.parse(path.read_text())
                yield from _in_file(tree, shared, in_controller=path.name in _IN_THE_CONTROLLER)


def _in_file(tree: ast.Module, shared: dict[str, ast.expr], *, in_controller: bool) -> Iterator[Found]:
    values = shared | _assigned(tree)
    serves = frozenset() if in_controller else _serves_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        kind = _kind(node.func)
        given = {word.arg: word.value for word in node.keywords}
        name = _text(given.get("name") or (node.args[0] if node.args else None))
        if kind is None or name is None or not re.fullmatch(r"[a-z][a-z0-9_:]*", name):
            continue
        fourth = node.args[3] if len(node.args) > 3 else None  # of the dashboard's own gauges
        where = given.get("tag_keys") or given.get("labelnames") or fourth
        labels = _strings(where, values) | ({*_SERVE_LABELS} if _root(node.func) in serves else set())
        yield Found(name, kind, tuple(sorted(labels)))


def _kind(called: ast.expr) -> str | None:
    """`metrics.Gauge(...)`, `Gauge(...)`, `self._gauge_cls(...)`."""
    name = (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )
    return _KINDS.get(name.strip("_").removesuffix("_cls").lower())


def _text(node: ast.expr | None) -> str | None:
    """A name; where it holds the protocol, that of HTTP."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "http" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _strings(node: ast.expr | None, values: dict[str, ast.expr], depth: int = 4) -> set[str]:
    """Every text in an expression, names followed."""
    found: set[str] = set()
    for part in ast.walk(node) if node is not None else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.add(part.value)
        elif isinstance(part, ast.Name) and part.id in values and depth:
            found |= _strings(values[part.id], values, depth - 1)
    return found


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _root(called: ast.expr) -> str:
    """`metrics` of `metrics.Gauge`, `Gauge` of `Gauge`."""
    inner = called.value if isinstance(called, ast.Attribute) else called
    return inner.id if isinstance(inner, ast.Name) else ""


def _serves_names(tree: ast.Module) -> frozenset[str]:
    """Names in this file that are Serve's instruments, or the module with them; Ray's own add no labels."""
    return frozenset(
        one.asname or one.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for one in node.names
        if node.module == "ray.serve.metrics" or (node.module == "ray.serve" and one.name == "metrics")
    )


def _shown(folder: Path) -> list[str]:
    texts = [path.read_text() for path in sorted(folder.glob("*panels.py"))]
    return sorted({name for text in texts for name in _IN_DASHBOARDS.findall(text)})


def _version(site: Path, package: str) -> str:
    for folder in site.glob(f"{package}-*.dist-info"):
        return folder.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    raise FileNotFoundError(f"{site} has no {package}")


def _write(name: str, version: str, series: dict[str, dict[str, object]]) -> None:
    lines = [f"  {json.dumps(key)}: {json.dumps(series[key])}" for key in sorted(series)]
    head = f'{{\n "version": {json.dumps(version)},\n "series": {{\n'
    (FOLDER / name).write_text(head + ",\n".join(lines) + "\n }\n}\n")


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:3]))
