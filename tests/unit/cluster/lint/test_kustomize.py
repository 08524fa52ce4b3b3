"""What kustomizations make: patches, images, replicas, components, variants; and what kustomize could not build."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.lint.findings import Finding, Severity
from cluster.lint.lint import lint

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {tier: front}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: log
          image: log:1
        - name: main
          image: IMAGE
          args: [a]
          env:
            - {name: A, value: "1"}
"""
PATCH = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def patched(folder: Path, kustomization: str, **files: str) -> list[Finding]:
    write(folder, kustomization_yaml=f"resources: [web.yaml]\n{kustomization}", web_yaml=DEPLOYMENT, **files)
    return lint([str(folder)])


def said(found: list[Finding]) -> list[tuple[str, str]]:
    return [(each.severity.word, each.rule) for each in found]


def test_a_fault_of_a_patch_is_at_the_patch(tmp_path: Path) -> None:
    text = f"{PATCH}  template:\n    spec:\n      containers:\n        - name: main\n          imagee: x\n"
    (found,) = patched(tmp_path, "patches: [{path: p.yaml}]\n", p_yaml=text)
    assert (found.rule, found.place.line) == ("schema/unknown-field", 9)
    assert found.place.file.endswith("p.yaml")
    assert found.place.path == "spec.template.spec.containers[0].imagee"


def test_what_a_patch_leaves_alone_is_where_it_was(tmp_path: Path) -> None:
    """The patched container comes first, as kustomize has it; the other one keeps its line."""
    base = DEPLOYMENT.replace("image: log:1", "imag: log:1")
    text = f"{PATCH}  template: {{spec: {{containers: [{{name: main, image: x}}]}}}}\n"
    write(
        tmp_path,
        kustomization_yaml="resources: [web.yaml]\npatches: [{path: p.yaml}]\n",
        web_yaml=base,
        p_yaml=text,
    )
    found = next(each for each in lint([str(tmp_path)]) if each.rule == "schema/unknown-field")
    assert (Path(found.place.file).name, found.place.line) == ("web.yaml", 14)
    assert found.place.path == "spec.template.spec.containers[1].imag"


@pytest.mark.parametrize(
    ("patch", "rules"),
    [
        ("        - {name: main, image: x}\n", []),
        ("        - {name: main, env: [{name: A, value: null}]}\n", []),
        ("        - {name: log, $patch: delete}\n", []),
        ("        - {name: new}\n", ["pods/image"]),
        ("        - {name: main, env: [{name: B, valu: x}]}\n", ["schema/unknown-field"]),
        ("        - {name: main, image: null}\n", ["pods/image"]),
        ("        - {name: main, $setElementOrder/env: [{name: A}]}\n", ["kustomize/patch"]),
        ("        - {name: main, $patch: remove}\n", ["kustomize/patch"]),
    ],
)
def test_strategic_merges(tmp_path: Path, patch: str, rules: list[str]) -> None:
    text = f"{PATCH}  template:\n    spec:\n      containers:\n{patch}"
    assert [each.rule for each in patched(tmp_path, "patches: [{path: p.yaml}]\n", p_yaml=text)] == rules


@pytest.mark.parametrize(
    ("directive", "instead"),
    [
        ("$setElementOrder/env: [{name: A}]", "what the patch names comes first"),
        ("$retainKeys: [name]", "write null for each field that shall go"),
        ("$deleteFromPrimitiveList/args: [a]", "write the whole list"),
        ("$other: 1", "take it out"),
    ],
)
def test_directives_that_only_kubectl_knows(tmp_path: Path, directive: str, instead: str) -> None:
    text = f"{PATCH}  template:\n    spec:\n      containers:\n        - name: main\n          {directive}\n"
    (found,) = patched(tmp_path, "patches: [{path: p.yaml}]\n", p_yaml=text)
    assert (found.severity, found.rule, found.place.line) == (Severity.ERROR, "kustomize/patch", 9)
    assert f"kustomize does not know {directive.partition(':')[0]}" in found.message
    assert instead in found.fix


def test_json_patches_within_the_kustomization(tmp_path: Path) -> None:
    text = """\
patches:
  - target: {kind: Deployment, labelSelector: "tier=front,tier!=back"}
    patch: |-
      - op: add
        path: /spec/template/spec/containers/0/env
        value: [{name: A, valu: x}]
      - op: remove
        path: /spec/template/spec/containers/1/args
      - op: replace
        path: /spec/replicas
        value: many
"""
    found = patched(tmp_path, text)
    assert [(each.rule, each.place.line) for each in found] == [
        ("schema/unknown-field", 7),
        ("schema/type", 12),
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{op: replace, path: /spec/replica, value: 2}", "Deployment web has no spec.replica"),
        ("{op: remove, path: /spec/template/spec/containers/7}", "has no spec.template.spec.containers[7]"),
        ("{op: add, path: /spec/strategy/type, value: x}", "has no spec.strategy.type"),
        ("{op: test, path: /spec/replicas, value: 9}", "the test of spec.replicas fails"),
        ("{op: change, path: /spec/replicas, value: 9}", "'change' is no step of a JSON patch"),
        ("{op: add, path: /spec/replicas}", "add /spec/replicas has no value"),
    ],
)
def test_json_patches_that_kustomize_could_not_apply(tmp_path: Path, step: str, message: str) -> None:
    text = "patches: [{path: p.yaml, target: {kind: Deployment}}]\n"
    (found,) = patched(tmp_path, text, p_yaml=f"[{step}]\n")
    assert (found.severity.word, found.rule) == ("error", "kustomize/patch")
    assert message in found.message


def test_moves_and_copies(tmp_path: Path) -> None:
    steps = (
        "- {op: copy, from: /spec/replicas, path: /spec/minReadySeconds}\n"
        "- {op: move, from: /spec/replicas, path: /spec/x}\n"
    )
    (found,) = patched(tmp_path, "patches: [{path: p.yaml, target: {name: we.}}]\n", p_yaml=steps)
    assert found.message == "unknown field x"


@pytest.mark.parametrize(
    ("kustomization", "rule", "fix"),
    [
        ("patches: [{path: q.yaml}]\n", "kustomize/resource", "did you mean p.yaml?"),
        ("patches: [{path: p.yaml}]\n", "kustomize/patch", "did you mean web?"),
        (
            "patches: [{target: {kind: Deployment, name: webs}, patch: '[]'}]\n",
            "kustomize/patch",
            "did you mean web?",
        ),
        ("patches: [{target: {kind: Deployment}}]\n", "kustomize/patch", "name a file, or write it out"),
        ("patchs: [{path: p.yaml}]\n", "kustomize/unknown-field", "did you mean patches?"),
        ("images: [{name: IMAGES, newTag: x}]\n", "kustomize/image", "did you mean IMAGE?"),
        ("replicas: [{name: webs, count: 2}]\n", "kustomize/replicas", "did you mean web?"),
        ("components: [p]\n", "kustomize/resource", "add it, or take the entry out"),
    ],
)
def test_what_names_nothing(tmp_path: Path, kustomization: str, rule: str, fix: str) -> None:
    (found,) = patched(
        tmp_path, kustomization, p_yaml=PATCH.replace("name: web", "name: webb") + "  replicas: 2\n"
    )
    assert (found.rule, found.fix) == (rule, fix)


def test_images_and_replicas_are_set(tmp_path: Path) -> None:
    images = "images: [{name: IMAGE, newName: ''}, {name: log, digest: sha256:0}]\n"
    kustomization = f"{images}replicas: [{{name: web, count: two}}]\n"
    found = patched(tmp_path, kustomization)
    assert [(each.rule, Path(each.place.file).name, each.place.line) for each in found] == [
        ("schema/type", "kustomization.yaml", 3)
    ]


def test_a_patch_for_all_of_a_custom_resources_list_replaces_it(tmp_path: Path) -> None:
    """Kustomize knows no keys of its lists: what the patch leaves out is gone."""
    cluster = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: c}
spec:
  headGroupSpec: {template: {spec: {containers: [{name: head, image: "r:1"}]}}}
  workerGroupSpecs:
    - groupName: w
      template: {spec: {containers: [{name: worker, image: "r:1"}]}}
"""
    patch = (
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: c}\nspec:\n"
        "  workerGroupSpecs:\n    - groupName: w\n"
    )
    write(
        tmp_path,
        kustomization_yaml="resources: [c.yaml]\npatches: [{path: p.yaml}]\n",
        c_yaml=cluster,
        p_yaml=patch,
    )
    found = [each for each in lint([str(tmp_path)]) if each.rule == "schema/required"]
    assert [each.message for each in found] == ["template is missing"]
    assert found[0].place.file.endswith("p.yaml")


def test_components_change_what_is_beside_them(tmp_path: Path) -> None:
    component = (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n"
        "  - target: {kind: StatefulSet}\n    patch: '[{op: remove, path: /spec}]'\n"
        "  - target: {kind: Deployment}\n    patch: '[{op: remove, path: /spec/selector}]'\n"
    )
    found = patched(
        tmp_path / "top", "components: [../part]\n", **{"..__part__kustomization_yaml": component}
    )
    assert said(found) == [("error", "schema/required")]
    assert said(lint([str(tmp_path)])) == [("error", "schema/required")]


def test_variants_of_a_base_are_looked_at_by_themselves(tmp_path: Path) -> None:
    write(
        tmp_path,
        base__kustomization_yaml="resources: [web.yaml]\n",
        base__web_yaml=DEPLOYMENT,
        dev__kustomization_yaml="resources: [../base]\n",
        prod__kustomization_yaml="resources: [../base]\nreplicas: [{name: web, count: -1}]\n",
    )
    found = lint([str(tmp_path)])
    assert said(found) == []


def test_a_circle_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, a__kustomization_yaml="resources: [../b]\n", b__kustomization_yaml="resources: [../a]\n")
    for name in ("a", "a/kustomization.yaml"):
        assert said(lint([str(tmp_path / name)])) == [("error", "kustomize/resource")]


def test_names_that_kustomize_changes_are_not_followed_within_a_rayservice(tmp_path: Path) -> None:
    cluster = (
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: c}\nspec:\n  headGroupSpec:\n    template:\n"
        "      spec:\n        containers:\n"
        "          - {name: h, image: 'r:1', envFrom: [{configMapRef: {name: settings}}]}\n"
    )
    generator = "resources: [c.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n"
    write(tmp_path, kustomization_yaml=generator, c_yaml=cluster)
    (found,) = (each for each in lint([str(tmp_path)]) if each.severity > Severity.NOTE)
    assert (found.severity.word, found.rule, found.place.line) == ("warning", "kustomize/reference", 9)
    for mended in ("generatorOptions: {disableNameSuffixHash: true}\n", "configurations: [names.yaml]\n"):
        write(tmp_path, kustomization_yaml=generator + mended)
        assert all(each.severity is Severity.NOTE for each in lint([str(tmp_path)]))


def test_what_is_not_applied_is_said(tmp_path: Path) -> None:
    found = patched(tmp_path, "namePrefix: dev-\nreplacements: [{path: r.yaml}]\n")
    assert [(each.rule, each.message.partition(" not applied")[0]) for each in found] == [
        ("kustomize/not-applied", "namePrefix"),
        ("kustomize/not-applied", "replacements"),
    ]
