"""Serve's config against the application's code, where that is in a ConfigMap among the files.

The code is read, and never run: deployments by their decorators and `.options(name=...)`. Where some come from another
module, nothing is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.lint.findings import Finding
from cluster.lint.manifest import InnerText, Manifest, at, error, mapping, mappings
from cluster.lint.rules.serve import serve_config
from cluster.lint.serve_config import applications
from cluster.lint.words import closest, listed
from cluster.lint.world import World, same_namespace
from cluster.lint.yaml_text import Path


@dataclass(frozen=True)
class Code:
    """What a module says of itself.

    Args:
        names: at its top.
        deployments: their names; None where some are another module's, or made up when it runs.
    """

    names: frozenset[str]
    deployments: frozenset[str] | None


def check(world: World) -> Iterator[Finding]:
    for manifest in world.of("RayService"):
        config = serve_config(manifest) if manifest.group == "ray.io" else None
        if config is not None:
            for path, application in applications(config):
                yield from _application(world, manifest, config, path, application)


def _application(
    world: World, manifest: Manifest, config: InnerText, path: Path, application: Mapping[str, Any]
) -> Iterator[Finding]:
    module, _, name = str(application.get("import_path", "")).replace(":", ".").rpartition(".")
    source = _source(world, manifest, f"{module}.py") if module else None
    if source is None:
        return
    file = f"{module}.py of ConfigMap {source[0].name}"
    where = (*path, "import_path")
    try:
        code = read_code(source[1])
    except SyntaxError as exc:
        message = f"{file} is no Python: line {exc.lineno}: {exc.msg}"
        yield error("serve/code", config, where, message, "mend the code")
        return
    if name not in code.names:
        meant = closest(name, code.names)
        fix = f"did you mean {meant}?" if meant else f"name one of {listed(sorted(code.names))}"
        yield error("serve/code", config, where, f"{file} has no {name}: the application does not start", fix)
    for index, deployment in mappings(application.get("deployments")):
        wanted = str(deployment.get("name", ""))
        if code.deployments and wanted not in code.deployments:
            meant = closest(wanted, code.deployments)
            message = f"{file} has no deployment {wanted}: Serve refuses the application"
            fix = f"did you mean {meant}?" if meant else f"it has {listed(sorted(code.deployments))}"
            yield error("serve/code", config, (*path, "deployments", index, "name"), message, fix)


def _source(world: World, manifest: Manifest, file: str) -> tuple[Manifest, str] | None:
    """The ConfigMap that has the module, and its text; None unless it is mounted on the head from one."""
    head = manifest.get("spec", "rayClusterConfig", "headGroupSpec", "template", "spec")
    mounted = {str(at(volume, "configMap", "name")) for _, volume in mappings(mapping(head).get("volumes"))}
    found = [
        (each, text)
        for each in world.of("ConfigMap")
        if each.name in mounted and same_namespace(each.namespace, manifest.namespace)
        for key, text in mapping(each.get("data")).items()
        if key == file and isinstance(text, str)
    ]
    return found[0] if len(found) == 1 else None


def read_code(text: str) -> Code:
    """What the module has.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(text)
    names: set[str] = set()
    imported: set[str] = set()
    deployments: set[str] = set()
    is_open = False
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
            made = [_deployment(decorator, node.name) for decorator in node.decorator_list]
            deployments |= {name for name in made if name}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            root = _root(node.func.value)
            if node.func.attr == "options":
                given = _name_given(node)
                deployments |= {given} if given else set()
            is_open |= node.func.attr == "bind" and root in imported
            is_open |= node.func.attr == "deployment" and bool(node.args)
    names |= imported
    is_open |= "*" in imported
    return Code(frozenset(names), None if is_open else frozenset(deployments))


def _deployment(decorator: ast.expr, name: str) -> str | None:
    """The deployment's name if the decorator makes one."""
    call = decorator if isinstance(decorator, ast.Call) else None
    target = call.func if call is not None else decorator
    word = (
        target.attr
        if isinstance(target, ast.Attribute)
        else target.id
        if isinstance(target, ast.Name)
        else ""
    )
    if word != "deployment":
        return None
    return (_name_given(call) if call is not None else None) or name


def _name_given(call: ast.Call) -> str | None:
    for keyword in call.keywords:
        if (
            keyword.arg == "name"
            and isinstance(keyword.value, ast.Constant)
            and isinstance(keyword.value.value, str)
        ):
            return keyword.value.value
    return None


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Call)):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""
