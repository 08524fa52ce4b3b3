"""Files, folders, kustomizations and standard input."""

from __future__ import annotations

from pathlib import Path

from cluster.lint.findings import Finding
from cluster.lint.lint import lint

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n"
    "    - {name: c, image: i, envFrom: [{configMapRef: {name: settings}}]}\n"
)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def rules(found: list[Finding]) -> list[str]:
    return [each.rule for each in found]


def test_a_folder_is_read_whole_without_what_is_hidden_or_a_chart(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=CONFIG_MAP % "a", sub__b_yaml=POD)
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / ".hidden", c_yaml="a: [")
    write(tmp_path / "chart", Chart_yaml="name: x", templates__d_yaml="a: {{ .Values.x }}\nb: [")
    assert rules(lint([str(tmp_path)])) == ["references/missing"]


def test_standard_input() -> None:
    assert rules(lint(["-"], stdin=lambda: "kind: Pod\n")) == ["schema/required"]


def test_a_list_counts_its_objects(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {nam: x}}\n"
    write(tmp_path, l_yaml=text)
    found = lint([str(tmp_path / "l.yaml")])
    assert rules(found) == ["schema/name", "schema/unknown-field"]
    assert {each.place.line for each in found} == {4}


def test_a_kustomization_is_followed(tmp_path: Path) -> None:
    write(
        tmp_path,
        base__kustomization_yaml="resources: [pod.yaml]\n",
        base__pod_yaml=POD,
        base__stray_yaml="a: [",
        top__kustomization_yaml=(
            "namespace: ml\nresources: [../base]\nconfigMapGenerator:\n  - {name: settings, literals: [a=b]}\n"
        ),
    )
    assert lint([str(tmp_path)]) == []
    assert lint([str(tmp_path / "top")]) == []


def test_a_generator_has_the_keys_that_it_makes(tmp_path: Path) -> None:
    pod = POD.replace(
        "envFrom: [{configMapRef: {name: settings}}]",
        "env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: z}}}]",
    )
    write(
        tmp_path,
        kustomization_yaml=(
            "resources: [pod.yaml]\nconfigMapGenerator:\n  - {name: settings, literals: [a=b], files: [x.txt]}\n"
        ),
        pod_yaml=pod,
    )
    (found,) = lint([str(tmp_path)])
    assert (found.rule, found.fix) == ("references/key", "it has a and x.txt")


def test_a_kustomization_of_what_is_not_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        kustomization_yaml="resources:\n  - pods.yaml\n  - https://example.com/x.yaml\n",
        pod_yaml=POD,
    )
    found = lint([str(tmp_path)])
    assert rules(found) == ["kustomize/resource", "kustomize/remote"]
    assert found[0].fix == "did you mean pod.yaml?"
    assert found[0].place.line == 2


def test_what_may_be_mended_by_what_is_not_applied_is_only_a_note(tmp_path: Path) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, imagee: x}]}\n"
    write(tmp_path, kustomization_yaml="resources: [m.yaml]\nreplacements: [{path: p.yaml}]\n", m_yaml=pod)
    severities = {found.rule: found.severity.word for found in lint([str(tmp_path)])}
    assert severities == {
        "kustomize/not-applied": "note",
        "pods/image": "note",
        "schema/unknown-field": "error",
    }


def test_a_folder_may_hold_what_is_nobodys_object(tmp_path: Path) -> None:
    write(
        tmp_path,
        stack_yaml="AWSTemplateFormatVersion: '2010-09-09'\nResources: {A: !Sub x}\n",
        role_yaml="kindly: !Ref x\nkind_of: [\n",
        values_yaml="spec: 1\n",
    )
    (tmp_path / "tsconfig.json").write_text('{\n  // none of ours\n  "a": 1,\n}\n')
    assert {(found.severity.word, found.rule) for found in lint([str(tmp_path)])} == {
        ("note", "yaml/no-object")
    }


def test_a_template_is_named_as_one(tmp_path: Path) -> None:
    broken = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n"
    quoted = broken.replace("{{ .Release.Name }}", '"{{ .Release.Name }}-x"')
    for text in (broken, quoted, f"{{{{- if .Values.x }}}}\n{broken}{{{{- end }}}}\n"):
        (found,) = lint(["-"], stdin=lambda text=text: text)
        assert (found.severity.word, found.fix.partition(":")[0]) == ("error", "render it first")


def test_a_placeholder_is_named_as_one(tmp_path: Path) -> None:
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '${NAME}', labels: {a: '${B}'}}\n"
        "spec: {replicas: '${COUNT}', selector: {}, template: {spec: {containers: [{name: c, image: i}]}}}\n"
    )
    found = lint(["-"], stdin=lambda: text)
    assert [(each.severity.word, each.rule) for each in found] == [("warning", "schema/placeholder")] * 2


def test_labels_of_a_kustomization_are_those_of_its_pods(tmp_path: Path) -> None:
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {app: d}}\n"
        "  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c, image: i}]}}\n"
    )
    monitor = (
        "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: m}\n"
        "spec: {selector: {matchLabels: {team: a}}, podMetricsEndpoints: []}\n"
    )
    resources = "resources: [d.yaml, m.yaml]\n"
    write(tmp_path, kustomization_yaml=resources, d_yaml=deployment, m_yaml=monitor)
    assert rules(lint([str(tmp_path)])) == ["selectors/none"]
    for labels in ("commonLabels: {team: a}\n", "labels: [{pairs: {team: a}, includeTemplates: true}]\n"):
        write(tmp_path, kustomization_yaml=resources + labels)
        assert lint([str(tmp_path)]) == []


def test_a_crd_among_the_files_is_a_schema(tmp_path: Path) -> None:
    crd = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {size: {type: integer}}
              x-kubernetes-validations: [{rule: "self.size > 1", message: too small}]
"""
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {%s}\n"
    write(
        tmp_path,
        crd_yaml=crd,
        w_yaml=widget % "sise: 2",
        v_yaml=widget % "size: 1",
        u_yaml=widget % "size: 2",
    )
    found = lint([str(tmp_path / "crd.yaml"), *(str(tmp_path / f"{name}.yaml") for name in "wvu")])
    assert sorted(rules(found)) == ["schema/rule", "schema/twice", "schema/twice", "schema/unknown-field"]
    alone = lint([str(tmp_path / "v.yaml")], schemas=[tmp_path / "crd.yaml"])
    assert [each.message for each in alone] == ["too small"]


def test_a_serve_config_is_one_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        s_yaml="applications:\n  - import_path: a:b\n    deployments:\n      - {name: d, num_replica: 2}\n",
    )
    (found,) = lint([str(tmp_path / "s.yaml")])
    assert (found.rule, found.place.line) == ("serve/unknown-field", 4)


def test_what_is_no_object_is_said(tmp_path: Path) -> None:
    write(tmp_path, values_yaml="image: x\n")
    assert [each.severity.word for each in lint([str(tmp_path / "values.yaml")])] == ["warning"]
    assert [each.severity.word for each in lint([str(tmp_path)])] == ["note"]


def test_odd_objects_break_nothing(tmp_path: Path) -> None:
    odd = """
{apiVersion: ray.io/v1, kind: RayService, metadata: {name: a}, spec: {rayClusterConfig: []}}
---
apiVersion: ray.io/v1
kind: RayCluster
metadata: []
spec: {headGroupSpec: {template: {spec: {containers: [1]}}}, workerGroupSpecs: [{replicas: many, template: 7}]}
---
{apiVersion: v1, kind: Service, metadata: {name: 1}, spec: {ports: [x], selector: [y]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: b}, spec: 7}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: c}
spec: {template: {spec: {requirements: [1, {key: [], operator: In, values: 3}], taints: 2}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: d}, spec: {podSelector: 1, egress: {}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: e}, spec: {}}
---
{apiVersion: [], kind: {}, metadata: {name: f}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: g}, data: {a: "model_list: [1, {litellm_params: 2}]", b: 3}}
---
apiVersion: ray.io/v1
kind: RayService
metadata: {name: h}
spec: {serveConfigV2: "applications: [{deployments: 3}, 4]"}
"""
    write(tmp_path, odd_yaml=odd)
    assert lint([str(tmp_path / "odd.yaml")])
