"""The account's side against moto's AWS, in this process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from moto.servicequotas.models import ServiceQuotasBackend

from cluster.plan import plan
from cluster.plan_types import ClusterPlan
from cluster.preflight.account import check_account, clients_of, quota_of
from cluster.preflight.findings import Finding
from cluster.preflight.images import check_images
from cluster.section import cluster_of
from configs.load import read_profile
from configs.schema import ClusterConfig

ROOT = Path(__file__).resolve().parents[4]
ACCOUNT = "111122223333"
MANY = 100_000.0


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """An empty account; returns its quotas, which are large."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    quotas: dict[str, float] = {}
    # moto knows the quotas of VPC only.
    monkeypatch.setattr(
        ServiceQuotasBackend,
        "get_service_quota",
        lambda self, service_code, quota_code: {
            "QuotaCode": quota_code,
            "Value": quotas.get(quota_code, MANY),
        },
    )
    with mock_aws():
        yield quotas


@pytest.fixture(scope="module")
def profile() -> tuple[ClusterConfig, ClusterPlan]:
    read = read_profile(ROOT / "configs" / "eks-gpu.yaml")
    return cluster_of(read.platform), plan(read)


def found(profile: tuple[ClusterConfig, ClusterPlan], **changes: Any) -> dict[str, Finding]:
    config, made = profile
    config = config.model_copy(update=changes)
    return {one.subject: one for one in check_account(clients_of(config.region), config, made)}


def test_quotas_against_what_the_plan_needs_and_others_use(
    aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]
) -> None:
    need = {one.code: one for one in profile[1].quotas}
    gpu = next(one for one in need.values() if "G and VT" in one.name and "On-Demand" in one.name)
    aws[gpu.code] = gpu.num_vcpus - 4
    findings = found(profile)
    short = findings[f"{gpu.code} {gpu.name}"]
    assert short.state == "bad"
    assert (
        f"needs {gpu.num_vcpus} vCPUs at most, others use 0, the account has {gpu.num_vcpus - 4}: short by 4"
        in short.text
    )
    assert all(findings[f"{one.code} {one.name}"].state == "ok" for one in need.values() if one != gpu)


def test_other_instances_of_the_account_count(
    aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]
) -> None:
    ec2 = clients_of("us-east-1")("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2, InstanceType="m5.xlarge")
    own = [{"ResourceType": "instance", "Tags": [{"Key": "eks:eks-cluster-name", "Value": profile[0].name}]}]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.xlarge", TagSpecifications=own)
    finding = next(one for subject, one in found(profile).items() if subject.startswith("L-1216C47A"))
    assert "others use 8," in finding.text


def test_an_account_that_is_another_one(
    aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]
) -> None:
    findings = found(profile, account_id="999999999999")
    assert findings["identity"].state == "bad"
    assert f"in {ACCOUNT}; the profile is for account 999999999999" in findings["identity"].text
    assert findings["everything else"].state == "skipped"


def test_no_credentials_are_one_line(
    profile: tuple[ClusterConfig, ClusterPlan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    findings = found(profile)
    assert findings["identity"].state == "bad"
    assert "credentials" in findings["identity"].text


def test_secrets_are_looked_for_by_name_only(
    aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]
) -> None:
    config = profile[0]
    first, *rest = sorted(config.secrets)
    store = clients_of(config.region)("secretsmanager")
    store.create_secret(Name=config.secrets[first].remote, SecretString="{}")
    findings = found(profile)
    assert findings[first].state == "ok"
    same = {name for name in config.secrets if config.secrets[name].remote == config.secrets[first].remote}
    for name in set(rest) - same:
        assert findings[name].state == "bad"
        assert f"has no secret {config.secrets[name].remote}" in findings[name].text


def test_keys_in_secrets_are_looked_for_on_request(
    aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]
) -> None:
    config, made = profile
    clients = clients_of(config.region)
    store = clients("secretsmanager")
    text = json.dumps({"master_key": "unseen"})
    store.create_secret(Name="manta/gpu/litellm", SecretString=text)
    store.create_secret(Name="manta/gpu/redis")
    store.create_secret(Name="manta/gpu/gateway", SecretString="unseen")
    findings = {one.subject: one for one in check_account(clients, config, made, reads_secrets=True)}
    cases = {
        "LITELLM_MASTER_KEY": ("ok", "manta/gpu/litellm is there, with key master_key"),
        "LITELLM_DATABASE_URL": ("bad", "manta/gpu/litellm has no key database_url"),
        "MANTA_REDIS_PASSWORD": ("bad", "manta/gpu/redis is there and has no value yet"),
        "MANTA_GATEWAY_SECRET": ("bad", "manta/gpu/gateway is no JSON, so it has no key secret"),
    }
    assert {name: (findings[name].state, findings[name].text) for name in cases} == cases
    assert not any("unseen" in one.text for one in findings.values())


def test_zones_and_the_cluster(aws: dict[str, float], profile: tuple[ClusterConfig, ClusterPlan]) -> None:
    assert found(profile)["zones"].state == "ok"
    assert "us-east-1z" in found(profile, zones=("a", "b", "z"))["zones"].text
    assert "has no cluster manta-gpu" in found(profile)["EKS"].text
    clients_of("us-east-1")("eks").create_cluster(
        name="manta-gpu", roleArn=f"arn:aws:iam::{ACCOUNT}:role/x", resourcesVpcConfig={"subnetIds": []}
    )
    assert found(profile)["EKS"].state == "ok"


def test_images_in_ecr(aws: dict[str, float]) -> None:
    clients = clients_of("us-east-1")
    registry = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
    digest = "sha256:" + "a" * 64
    ecr = clients("ecr")
    ecr.create_repository(repositoryName="manta-cpu")
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
    put = ecr.put_image(repositoryName="manta-cpu", imageManifest=manifest, imageTag="1")
    there = put["image"]["imageId"]["imageDigest"]
    cases = {
        f"{registry}/manta-cpu:1@{there}": ("ok", "in ECR"),
        f"{registry}/manta-cpu:1": ("warn", "not pinned by digest"),
        f"{registry}/manta-cpu:2@{digest}": ("bad", "has no image"),
        f"{registry}/manta-vllm:1@{digest}": ("bad", "no repository manta-vllm"),
        f"{registry}/manta-cpu:3@sha256:{'0' * 64}": ("bad", "placeholder"),
    }
    for finding, (state, said) in zip(check_images(cases, clients), cases.values(), strict=True):
        assert finding.state == state, finding
        assert said in finding.text


@pytest.mark.parametrize(
    ("instance", "is_spot", "code"),
    [
        ("m8g.xlarge", False, "L-1216C47A"),
        ("t3.micro", True, "L-34B43A08"),
        ("inf2.8xlarge", False, "L-1945791B"),
        ("trn1.2xlarge", True, "L-6B0D517C"),
        ("g6e.xlarge", False, "L-DB2E81BA"),
        ("i4i.large", False, "L-1216C47A"),
        ("p5.48xlarge", False, "L-417A185B"),
        ("hpc7g.4xlarge", False, None),
        ("u-3tb1.56xlarge", False, None),
    ],
)
def test_quotas_by_instance_type(instance: str, is_spot: bool, code: str | None) -> None:
    assert quota_of(instance, is_spot=is_spot) == code
