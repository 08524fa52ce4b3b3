from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster.render.nodes.classes import node_classes


def _by_role(each: Any) -> dict[str, dict[str, Any]]:
    return {one["spec"]["tags"]["manta:role"]: one["spec"] for one in node_classes(*each)}


def test_every_role_with_nodes_has_a_class(each: Any) -> None:
    assert set(_by_role(each)) == {pool.role for pool in each.plan.pools}


def test_al2023_has_one_disk_and_bottlerocket_two(planned: Callable[..., Any]) -> None:
    for image, devices in (("al2023", ["/dev/xvda"]), ("bottlerocket", ["/dev/xvda", "/dev/xvdb"])):
        each = planned("eks-gpu", cluster__node_image=image, cluster__node_image_version="v1.2.3")
        spec = _by_role(each)["gpu"]
        assert spec["amiSelectorTerms"] == [{"alias": f"{image}@v1.2.3"}]
        assert [disk["deviceName"] for disk in spec["blockDeviceMappings"]] == devices
        assert all(disk["ebs"]["encrypted"] for disk in spec["blockDeviceMappings"])
        # The last one is what grows.
        assert spec["blockDeviceMappings"][-1]["ebs"]["volumeSize"] == "200Gi"


def test_local_disks_are_used_where_there_are_any(planned: Callable[..., Any]) -> None:
    specs = _by_role(planned("eks-gpu"))
    assert specs["gpu"]["instanceStorePolicy"] == "RAID0"
    assert "instanceStorePolicy" not in specs["ingress"]


def test_pods_cannot_take_the_nodes_role(planned: Callable[..., Any]) -> None:
    for spec in _by_role(planned("eks-gpu")).values():
        assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
        assert spec["metadataOptions"]["httpTokens"] == "required"


def test_auto_mode_chooses_the_image_itself(planned: Callable[..., Any]) -> None:
    each = planned("eks-gpu", cluster__compute="auto-mode")
    for one in node_classes(*each):
        assert (one["apiVersion"], one["kind"]) == ("eks.amazonaws.com/v1", "NodeClass")
        assert one["metadata"]["name"] != "default"  # which is Auto Mode's own
        assert "amiSelectorTerms" not in one["spec"]
        assert one["spec"]["networkPolicy"] == "DefaultAllow"


def test_auto_modes_disk_is_smaller_than_local_nvme(planned: Callable[..., Any]) -> None:
    """Where it is not, Auto Mode leaves the local disks unused."""
    each = planned("eks-gpu", cluster__compute="auto-mode")
    size_gib = int(_by_role(each)["gpu"]["ephemeralStorage"]["size"].removesuffix("Gi"))
    (pool,) = [pool for pool in each.plan.pools if pool.role == "gpu"]
    assert size_gib * 2**30 < min(instance.nvme_gb for instance in pool.instance_types) * 10**9
