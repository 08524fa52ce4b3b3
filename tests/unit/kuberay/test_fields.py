import json

import apiserver.fields as server
from hypothesis import given
from hypothesis import strategies as st

from kuberay.fields import applied_by

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
TREES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=8
)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["ray", "sidecar", "init"])}, optional={"image": st.text(max_size=3)}
    ),
    max_size=3, unique_by=lambda one: one["name"],
)  # fmt: skip
SPECS = st.fixed_dictionaries(
    {}, optional={"tree": TREES, "containers": CONTAINERS, "replicas": st.integers()}
)


def document(spec: object) -> dict[str, object]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "m", "namespace": "n"},
        "spec": spec,
    }


@given(SPECS, SPECS)
def test_what_was_applied_is_read_back_whatever_others_add(
    mine: dict[str, object], others: dict[str, object]
) -> None:
    live, conflicts = server.apply(None, document(mine), "manta", force=False)
    assert not conflicts
    live, _ = server.apply(live, document({"other": others}), "somebody", force=False)
    again = applied_by(json.loads(json.dumps(live)), "manta")
    assert again is not None
    merged, conflicts = server.apply(live, again, "manta", force=False)
    assert not conflicts
    assert merged["spec"] == live["spec"]
    assert "other" not in again.get("spec", {})


def test_nobody_who_applied_nothing() -> None:
    live, _ = server.apply(None, document({"a": 1}), "manta", force=False)
    assert applied_by(live, "somebody") is None
    assert applied_by({"metadata": {}}, "manta") is None


def test_patches_and_statuses_are_no_applies() -> None:
    fields = [
        {"manager": "manta", "operation": "Update", "apiVersion": "ray.io/v1", "fieldsV1": {"f:spec": {"f:a": {}}}},
        {
            "manager": "manta", "operation": "Apply", "apiVersion": "ray.io/v1", "subresource": "status",
            "fieldsV1": {"f:status": {"f:b": {}}},
        },
    ]  # fmt: skip
    assert (
        applied_by(document({"a": 1}) | {"metadata": {"name": "m", "managedFields": fields}}, "manta") is None
    )


def test_sets_and_items_by_position() -> None:
    live = document({"names": ["x", "y"], "steps": [{"a": 1}, {"a": 2}]})
    live["metadata"] = {
        "name": "m",
        "managedFields": [{
            "manager": "manta", "operation": "Apply", "apiVersion": "ray.io/v1",
            "fieldsV1": {"f:spec": {"f:names": {'v:"y"': {}}, "f:steps": {"i:1": {"f:a": {}}}}},
        }],
    }  # fmt: skip
    found = applied_by(live, "manta")
    assert found is not None
    assert found["spec"] == {"names": ["y"], "steps": [{"a": 2}]}
