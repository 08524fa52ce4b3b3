"""What may import what. The house's arrows point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmarks", "cluster", "configs", "kuberay", "manta", "serve_app")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAY_IMPORT_RAY = {
    # The ingestion's edge: the only file that knows Ray Data; its stages know nothing of it.
    "serve_app/retrieval/ingest/pipeline.py",
    "serve_app/app.py",
    "serve_app/calls.py",
    # Serve tells a replica nothing of its own end, so one file looks.
    "serve_app/draining.py",
    "serve_app/inner_port.py",
    "serve_app/handles.py",
    "serve_app/replica.py",
    # A part of Serve's own routing, which Serve imports by its name.
    "serve_app/request_router.py",
    "cluster/local.py",
    # Writes Ray Serve's own schema down for `manta cluster lint`, which imports no Ray; nothing imports it.
    "cluster/lint/list_serve_schema.py",
    # The simulator asks Serve's own autoscaling policy instead of a copy of it. It starts no Ray.
    "benchmarks/simulate/stack/serve_policy.py",
    # Servers that `manta up` never is: the ingress with the engine in its own process, ray.serve.llm, and the Ray that
    # both stand on.
    "benchmarks/overhead/own_ray.py",
    "benchmarks/overhead/ray_llm_server.py",
    "benchmarks/overhead/ray_server.py",
}
HEAVY = {
    "ray",
    "llama_cpp",
    "onnx",
    "onnxruntime",
    "lancedb",
    "vllm",
    "ragas",
    "litellm",
    "strands",
    "pypdf",
    "opensearchpy",
    "pymilvus",
    "boto3",
    "kubernetes",
    "docx",
    "pptx",
    "lxml",
}


@dataclass(frozen=True)
class Source:
    """What the rules ask of a file; it is read once for all of them."""

    imports: frozenset[str]
    imports_at_the_top: frozenset[str]
    reads_environment: bool

    def uses(self, *packages: str) -> bool:
        return any(name.split(".")[0] in packages for name in self.imports)


@cache
def source(path: Path) -> Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_the_top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return Source(
        frozenset(imported(tree)),
        frozenset(name for node in at_the_top for name in imported(node)),
        any(is_environment(node) for node in ast.walk(tree)),
    )


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def is_environment(node: ast.AST) -> bool:
    is_named = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    return is_named and isinstance(node.value, ast.Name) and node.value.id == "os"


def users_of(package: str) -> set[str]:
    return {relative(path) for path in FILES if source(path).uses(package)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_ray_appears_only_at_the_edge(path: Path) -> None:
    may = relative(path) in MAY_IMPORT_RAY or path.name == "deployment.py"
    assert may or not source(path).uses("ray")


def test_the_agents_framework_stays_behind_two_files() -> None:
    assert users_of("strands") == {"serve_app/agents/handle_model.py", "serve_app/agents/loop.py"}


def test_the_kubernetes_client_stays_behind_one_file() -> None:
    assert users_of("kubernetes") == {"kuberay/connection.py"}


def test_the_room_for_rayservices_stands_on_its_own() -> None:
    for path in (ROOT / "kuberay").rglob("*.py"):
        for name in source(path).imports:
            is_ours = name.split(".")[0] in ("serve_app", "cluster", "manta", "benchmarks", "configs")
            assert not is_ours or name == "serve_app.errors", relative(path)


def test_only_load_reads_the_environment() -> None:
    readers = {relative(path) for path in FILES if source(path).reads_environment}
    # These hand the environment to processes that they start.
    writers = {
        "cluster/local.py",
        "cluster/litellm/local.py",
        "benchmarks/application.py",
        "benchmarks/conformance/ray_node.py",
        "benchmarks/overhead/own_ray.py",
        "serve_app/engines/vllm/start.py",
    }
    # RAGAS sends statistics unless a variable says otherwise by the time that it is imported.
    writers |= {"serve_app/evaluation/ragas_judge.py"}
    # Runs in LiteLLM's environment, where nothing of ours reads a configuration.
    writers |= {"cluster/litellm/proxy.py"}
    assert readers == {"configs/load.py"} | writers


def test_benchmarks_know_only_the_configuration() -> None:
    # The servers that two benchmarks compare with are made of the application's own parts, or start Ray as it does.
    opens_it = {
        ROOT / "benchmarks/overhead/own_ray.py",
        ROOT / "benchmarks/overhead/ray_server.py",
        ROOT / "benchmarks/llamacpp_chat/engine.py",  # the engine alone, without the rest of the application
        # A process of its own, which the benchmark speaks to as to any other embedder.
        ROOT / "benchmarks/embeddings/workers/manta_engine.py",
        # Likewise: a store in process, beside a plain client of the same server.
        ROOT / "benchmarks/knowledge/workers/manta_store.py",
    }
    files = {*(ROOT / "benchmarks").rglob("*.py")} - opens_it
    for path in files:
        assert not source(path).uses("serve_app", "cluster", "manta"), relative(path)


def test_configs_know_nothing_of_the_rest() -> None:
    for path in (ROOT / "configs").rglob("*.py"):
        assert not source(path).uses("serve_app", "cluster", "manta", "benchmarks"), relative(path)


def test_naming_an_engine_costs_nothing() -> None:
    """The builder's process never loads what only a replica needs."""
    script = (
        "import sys, serve_app.app;"
        f"print(sorted({HEAVY!r} & {{name.split('.')[0] for name in sys.modules}} - {{'ray'}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_no_import_cycles() -> None:
    modules = {relative(path)[:-3].replace("/", ".").removesuffix(".__init__"): path for path in FILES}
    edges: dict[str, set[str]] = {}
    for module, path in modules.items():
        edges[module] = {
            name for name in source(path).imports_at_the_top if name in modules and name != module
        }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for other in edges[module]:
                visit(other, (*trail, module))
            done.add(module)

    for module in modules:
        visit(module, ())
