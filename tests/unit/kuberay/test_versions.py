from typing import Any

from kuberay.versions import outdated


def config(head: str, **workers: str) -> dict[str, Any]:
    def template(image: str) -> dict[str, Any]:
        return {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}

    groups = [{"groupName": name} | template(image) for name, image in workers.items()]
    return {"headGroupSpec": template(head), "workerGroupSpecs": groups}


def said(wanted: dict[str, Any], running: dict[str, Any]) -> str:
    return outdated({"spec": {"rayClusterConfig": wanted}}, {"spec": running})


def test_versions_by_their_images() -> None:
    assert said(config("a", gpu="b"), config("a", gpu="b")) == ""
    assert said(config("a", gpu="c"), config("a", gpu="b")) == "group gpu runs b, not c"
    assert said(config("x", gpu="b"), config("a", gpu="b")) == "the head runs a, not x"


def test_a_group_that_is_not_there_yet_says_nothing() -> None:
    assert said(config("a", gpu="b", more="c"), config("a", gpu="b")) == ""
    assert outdated({"spec": {}}, {"spec": config("a")}) == ""
    assert outdated({"spec": {"rayClusterConfig": config("a")}}, {}) == ""
