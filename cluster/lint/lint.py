"""Files in, findings out: reads everything, then asks each family of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.lint import inputs, serve_config
from cluster.lint.builds import Build
from cluster.lint.findings import Finding, Severity, in_order
from cluster.lint.inputs import Inputs
from cluster.lint.rules import (
    engines,
    head,
    kuberay,
    models,
    namespaces,
    network,
    placement,
    pods,
    ray,
    references,
    replicas,
    scaling,
    schema,
    secrets,
    selectors,
    serve,
    serve_code,
    values,
)
from cluster.lint.schemas import Schemas
from cluster.lint.serve_config import ServeFile
from cluster.lint.world import World
from cluster.lint.yaml_text import read_documents

# What something is missing of, as a rule; a patch seldom takes away what is too much.
_PATCHES_MEND = (
    "schema/required",
    "schema/rule",
    "pods/image",
    "pods/volume",
    "kuberay/containers",
    "selectors/",
    "references/",
    "scaling/requests",
    "fit/",
    "head/",
    "security/",
)
RULES: tuple[Callable[[World], Iterator[Finding]], ...] = (
    kuberay.check,
    serve.check,
    serve_code.check,
    ray.check,
    replicas.check,
    pods.check,
    engines.check,
    values.check,
    placement.check,
    scaling.check,
    head.check,
    references.check,
    selectors.check,
    network.check,
    models.check,
    secrets.check,
    namespaces.check,
)


def lint(
    names: Sequence[str], *, schemas: Sequence[Path] = (), stdin: Callable[[], str] = lambda: ""
) -> list[Finding]:
    """Everything that is wrong with what the names lead to, in the order of the files.

    Args:
        names: files, folders, or `-`.
        schemas: files or folders with CRDs of kinds that are not known here, or in another version.
        stdin: what `-` reads.

    Raises:
        OSError: a name leads nowhere.
    """
    read = inputs.read(names, stdin)
    everything = [*read.manifests, *(each for build in read.builds for each in build.manifests)]
    given = [manifest.data for manifest in everything if manifest.kind == "CustomResourceDefinition"]
    known = Schemas([*given, *_crds(schemas)])
    found = [*read.findings, *schema.check(everything, known)]
    for name, document in read.serve_files:
        found.extend(serve_config.check(ServeFile(name, document)))
    for world in _worlds(read):
        for rule in RULES:
            found.extend(rule(world))
    patched = {manifest.file for manifest in everything if manifest.is_patched}
    return in_order(_as_patched(each) if each.place.file in patched else each for each in found)


def _worlds(read: Inputs) -> list[World]:
    """What is applied together: all of it, but for kustomizations that make the same objects, each by itself."""
    apart = [build for build in read.builds if any(_overlap(build, other) for other in read.builds)]
    common = Build(read.manifests)
    for build in read.builds:
        if build not in apart:
            common.manifests = [*common.manifests, *build.manifests]
            common.generated.extend(build.generated)
    return [
        World([*common.manifests, *build.manifests], [*common.generated, *build.generated])
        for build in apart or [Build()]
    ]


def _overlap(one: Build, other: Build) -> bool:
    """Whether two kustomizations are variants: `dev` and `prod` of one base."""
    return one is not other and not {each.identity for each in one.manifests}.isdisjoint(
        each.identity for each in other.manifests
    )


def _as_patched(found: Finding) -> Finding:
    """What is not applied here may add what is missing."""
    return replace(found, severity=Severity.NOTE) if found.rule.startswith(_PATCHES_MEND) else found


def _crds(paths: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    for path in paths:
        files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
        for file in files:
            for document in read_documents(file.read_text("utf-8")):
                value = document.value
                if isinstance(value, Mapping) and value.get("kind") == "CustomResourceDefinition":
                    yield value
