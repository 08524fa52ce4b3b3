"""The tree of a profile: every family's objects in the folder of its wave, each wave a kustomization.

    kustomization.yaml          all waves
    05-application/             one wave: `kubectl apply -k` takes it
        kustomization.yaml
        ray-service.yaml        one family
    iam/...                     what is not for the Kubernetes API

Pure: paths and texts. Writing them is `cluster.render.files`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cluster.plan import plan
from cluster.plan_types import ClusterPlan
from cluster.render.families import EXTRAS, FAMILIES
from cluster.render.objects import Document, Family
from cluster.render.text import as_json, as_yaml
from cluster.waves import WAVES
from configs.load import Profile
from configs.schema import PlatformConfig

Files = dict[str, str]  # path below the profile's folder -> text


def render(profile: Profile) -> Files:
    """Every file of a profile's cluster, sorted by path. The same profile gives the same text.

    Raises:
        ProfileError, ConfigError: the profile cannot be planned.
    """
    made = plan(profile)
    return dict(sorted(_files(profile.platform, made)))


def _files(config: PlatformConfig, made: ClusterPlan) -> Iterator[tuple[str, str]]:
    header = f"Rendered by `manta cluster render` from configs/{made.profile}.yaml; do not edit."
    waves = []
    for wave in WAVES:
        written = list(_of_wave(wave, [one for one in FAMILIES if one.wave == wave], config, made, header))
        if written:
            waves.append(wave)
            yield from written
            parts = [path.removeprefix(f"{wave}/") for path, _ in written]
            yield f"{wave}/kustomization.yaml", _kustomization(parts, header)
    yield (
        "kustomization.yaml",
        _kustomization(waves, f"{header}\nIn this order, each wave when the one before is ready."),
    )
    for extra in EXTRAS:
        for path, document in extra.documents(config, made).items():
            yield path, as_json(document) if path.endswith(".json") else as_yaml([document], header)


def _of_wave(
    wave: str, families: Sequence[Family], config: PlatformConfig, made: ClusterPlan, header: str
) -> Iterator[tuple[str, str]]:
    for family in families:
        objects = family.objects(config, made)
        if objects:
            yield f"{wave}/{family.name}.yaml", as_yaml(objects, header)


def _kustomization(resources: Sequence[str], header: str) -> str:
    document: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
    }
    return as_yaml([document], header)
