"""What of an instance pods may take, against what Karpenter's documentation says of the same types."""

from __future__ import annotations

import pytest

from cluster.instances import allocatable_cpu_millis, allocatable_memory_mib, room
from configs.instances import FAMILIES, INSTANCES, of_family
from configs.neuron_instances import NEURON_INSTANCES
from configs.prices import SPOT_SHARE, USD_PER_HOUR
from configs.schema import AllowancesConfig

# "Instance Types" of Karpenter's documentation, aws/karpenter-provider-aws at 0c5e7d811240: cpu, memory.
DOCUMENTED = {
    "c7i.xlarge": (3920, 6584),
    "c7i.2xlarge": (7910, 14162),
    "c7i.16xlarge": (63770, 112779),
    "c7i.48xlarge": (191450, 355262),
    "g5.12xlarge": (47810, 173400),
    "g5.16xlarge": (63770, 239554),
    "g6.xlarge": (3920, 14162),
    "g6e.12xlarge": (47810, 360157),
    "g6e.48xlarge": (191450, 1449132),
    "p4d.24xlarge": (95690, 1082712),
    "p4de.24xlarge": (95690, 1082712),
    "p5.48xlarge": (191450, 1938410),
    "p5en.48xlarge": (191450, 1937332),
    "inf2.xlarge": (3920, 14162),
    "inf2.48xlarge": (191450, 718987),
    "trn1.32xlarge": (127610, 481894),
    "trn2.48xlarge": (191450, 1938410),
    # m8gd has m8g's processors and memory.
    "m8g.large": (1930, 6844),
    "m8g.xlarge": (3920, 14103),
    "m8g.8xlarge": (31850, 118253),
    "m8g.48xlarge": (191450, 718928),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_a_node_gives_is_what_karpenter_reckons_with(name: str) -> None:
    instance = INSTANCES[name]
    cpu, memory = DOCUMENTED[name]
    assert allocatable_cpu_millis(instance.num_vcpus) == cpu
    # The page rounds what is hidden up, to a mebibyte.
    assert allocatable_memory_mib(instance) == pytest.approx(memory, abs=1)


def test_daemons_and_images_take_their_share_first() -> None:
    free = room(INSTANCES["m8g.xlarge"], AllowancesConfig(daemon_cpus=0.5, daemon_memory_gib=1), 100)
    assert free.cpu_millis == 3420
    assert free.memory_bytes == pytest.approx((14103 - 1024) * 2**20, abs=2**20)
    assert free.disk_bytes == 80 * 2**30
    assert room(INSTANCES["g6.xlarge"], AllowancesConfig(), 100).disk_bytes == 200 * 10**9


def test_every_family_is_whole_and_priced_or_known_to_be_without() -> None:
    for family in FAMILIES:
        types = of_family(family)
        assert [one.num_vcpus for one in types] == sorted(one.num_vcpus for one in types)
        assert len({one.architecture for one in types}) == 1
    assert {name for name in INSTANCES if name not in USD_PER_HOUR} == {"trn2.48xlarge"}
    assert set(SPOT_SHARE) <= set(FAMILIES)


def test_instances_with_neuron_cores_are_those_of_the_engine() -> None:
    for name, instance in INSTANCES.items():
        assert (instance.neuron is not None) == (name in NEURON_INSTANCES)
        if instance.neuron is not None:
            assert instance.neuron is NEURON_INSTANCES[name]
