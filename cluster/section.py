"""The cluster's section of a profile, for everything that cannot do without."""

from __future__ import annotations

from configs.load import ProfileError
from configs.schema import ClusterConfig, PlatformConfig


def cluster_of(config: PlatformConfig) -> ClusterConfig:
    """The section `cluster`.

    Raises:
        ProfileError: there is none.
    """
    if config.cluster is None:
        raise ProfileError("the profile has no `cluster`: nothing says what it should run on")
    return config.cluster
