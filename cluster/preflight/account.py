"""The AWS account: who we are there, the region, zones, instance types, quotas, secrets, the certificate, EKS.

Reads, and of secrets only that they exist, unless their keys are asked for. Every answer of AWS becomes a finding;
nothing here raises for one.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cluster.plan_types import ClusterPlan
from cluster.preflight.findings import Finding, State
from configs.schema import ClusterConfig

AREA = "account"
QUOTAS = "quotas"
SECRETS = "secrets"
Clients = Callable[[str], Any]  # "ec2" -> a client of boto3


def clients_of(region: str, profile: str | None = None) -> Clients:
    """boto3's clients for a region, with credentials from where AWS's tools look for them."""
    import boto3
    from botocore.config import Config

    session = boto3.Session(profile_name=profile, region_name=region)
    settings = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"})
    return functools.partial(session.client, region_name=region, config=settings)


def check_account(
    clients: Clients, cluster: ClusterConfig, made: ClusterPlan, *, reads_secrets: bool = False
) -> Iterator[Finding]:
    """Findings about the account; only one when it does not let us in.

    `reads_secrets`: whether to look for the keys in secrets as well, for which AWS gives the values out.
    """
    told = list(_guarded(lambda: _identity(clients, cluster), AREA, "identity"))
    yield from told
    if any(finding.state == "bad" and finding.subject == "identity" for finding in told):
        yield Finding(AREA, "everything else", "skipped", "needs credentials of the account")
        return
    looks: tuple[tuple[str, str, Callable[[], Iterable[Finding]]], ...] = (
        (AREA, "zones", lambda: _zones(clients, cluster)),
        (AREA, "instance types", lambda: _offerings(clients, cluster, made)),
        (QUOTAS, "quotas", lambda: _quotas(clients, cluster, made)),
        (SECRETS, "Secrets Manager", lambda: _secrets(clients, cluster, reads_values=reads_secrets)),
        (AREA, "certificate", lambda: _certificate(clients, cluster)),
        (AREA, "EKS", lambda: _eks(clients, cluster)),
    )
    for area, subject, look in looks:
        yield from _guarded(look, area, subject)


def _guarded(look: Callable[[], Iterable[Finding]], area: str, subject: str) -> Iterator[Finding]:
    """What AWS refuses, or cannot be asked, as a finding."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield from look()
    except ClientError as exc:
        error = exc.response.get("Error", {})
        said = f"{error.get('Code', '')}: {error.get('Message', exc)}"
        state: State = "bad" if subject == "identity" else "skipped"
        yield Finding(area, subject, state, " ".join(said.split()))
    except BotoCoreError as exc:
        yield Finding(area, subject, "bad", " ".join(str(exc).split()))


def _identity(clients: Clients, cluster: ClusterConfig) -> Iterator[Finding]:
    found = clients("sts").get_caller_identity()
    text = f"{found['Arn']} in {found['Account']}"
    if found["Account"] == cluster.account_id:
        yield Finding(AREA, "identity", "ok", text)
    else:
        yield Finding(AREA, "identity", "bad", f"{text}; the profile is for account {cluster.account_id}")


def _zones(clients: Clients, cluster: ClusterConfig) -> Iterator[Finding]:
    found = clients("ec2").describe_availability_zones(AllAvailabilityZones=False)["AvailabilityZones"]
    there = {one["ZoneName"] for one in found if one.get("State", "available") == "available"}
    missing = [name for name in cluster.zone_names() if name not in there]
    if missing:
        text = f"not available to this account: {', '.join(missing)}; it has {', '.join(sorted(there))}"
        yield Finding(AREA, "zones", "bad", text)
    else:
        yield Finding(AREA, "zones", "ok", f"{cluster.region}: {', '.join(cluster.zone_names())}")


def _offerings(clients: Clients, cluster: ClusterConfig, made: ClusterPlan) -> Iterator[Finding]:
    """Which of a pool's instance types are sold in which of the zones."""
    wanted = sorted({one.name for pool in made.pools for one in pool.instance_types})
    pages = (
        clients("ec2")
        .get_paginator("describe_instance_type_offerings")
        .paginate(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": wanted}])
    )
    sold = {(one["InstanceType"], one["Location"]) for page in pages for one in page["InstanceTypeOfferings"]}
    for pool in made.pools:
        names = [one.name for one in pool.instance_types]
        zones = [zone for zone in cluster.zone_names() if any((name, zone) in sold for name in names)]
        subject = f"instances for {pool.role}"
        if not zones:
            yield Finding(
                AREA, subject, "bad", f"none of {', '.join(names)} is sold in {cluster.region}'s zones"
            )
        elif len(zones) < len(cluster.zones):
            without = sorted(set(cluster.zone_names()) - set(zones))
            yield Finding(
                AREA, subject, "warn", f"none of its instance types is sold in {', '.join(without)}"
            )
        else:
            num_sold = sum(any((name, zone) in sold for zone in zones) for name in names)
            yield Finding(
                AREA, subject, "ok", f"{num_sold} of {len(names)} types are sold, in every zone one at least"
            )


def _quotas(clients: Clients, cluster: ClusterConfig, made: ClusterPlan) -> Iterator[Finding]:
    used = _used_vcpus(clients, cluster)
    for need in made.quotas:
        allowed = _allowed(clients, need.code)
        others = used.get(need.code, 0)
        subject = f"{need.code} {need.name}"
        text = f"needs {need.num_vcpus} vCPUs at most, others use {others}"
        if allowed is None:
            yield Finding(QUOTAS, subject, "warn", f"{text}; the account's quota is not known")
            continue
        short = need.num_vcpus + others - allowed
        text += f", the account has {allowed:.0f}"
        if short > 0:
            text += f": short by {short:.0f}; ask for {need.num_vcpus + others} under Service Quotas"
        yield Finding(QUOTAS, subject, "bad" if short > 0 else "ok", text)


def _allowed(clients: Clients, code: str) -> float | None:
    """The account's quota, or AWS's default where the account has none of its own."""
    from botocore.exceptions import ClientError

    service = clients("service-quotas")
    for ask in (service.get_service_quota, service.get_aws_default_service_quota):
        try:
            return float(ask(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])
        except ClientError as exc:
            if exc.response.get("Error", {}).get("Code") != "NoSuchResourceException":
                raise
    return None


# First letters of families -> the quotas that their instances count against, on demand and on spot; the longest
# letters that fit decide ("Amazon EC2 service quotas", EC2 User Guide, read 2026-11).
_STANDARD = ("L-1216C47A", "L-34B43A08")
_COUNTS_AGAINST: dict[str, tuple[str, str]] = {
    "inf": ("L-1945791B", "L-B5D1601B"),
    "trn": ("L-2C3B7624", "L-6B0D517C"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "vt": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
} | dict.fromkeys("acdhimrtz", _STANDARD)  # fmt: skip
_OF_OTHER_QUOTAS = ("dl", "hpc", "mac")


def quota_of(instance_type: str, *, is_spot: bool) -> str | None:
    """The quota's code; None: another one than those that a plan needs."""
    if instance_type.startswith(_OF_OTHER_QUOTAS):
        return None
    fitting = [start for start in _COUNTS_AGAINST if instance_type.startswith(start)]
    return _COUNTS_AGAINST[max(fitting, key=len)][is_spot] if fitting else None


def _used_vcpus(clients: Clients, cluster: ClusterConfig) -> dict[str, int]:
    """Quota's code -> vCPUs of running instances that are not this cluster's own nodes."""
    ec2 = clients("ec2")
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    counts: Counter[tuple[str, str]] = Counter()  # (quota's code, instance type) -> instances
    for page in ec2.get_paginator("describe_instances").paginate(Filters=running):
        for instance in (one for group in page["Reservations"] for one in group["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
            is_own = tags.get("eks:eks-cluster-name") == cluster.name
            if is_own or f"kubernetes.io/cluster/{cluster.name}" in tags:
                continue
            code = quota_of(instance["InstanceType"], is_spot=instance.get("InstanceLifecycle") == "spot")
            if code is not None:
                counts[code, instance["InstanceType"]] += 1
    used: dict[str, int] = {}
    if counts:
        # Quotas count a type's own vCPUs, also where an instance was started with fewer.
        types = ec2.describe_instance_types(InstanceTypes=sorted({name for _, name in counts}))[
            "InstanceTypes"
        ]
        vcpus = {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in types}
        for (code, name), number in counts.items():
            used[code] = used.get(code, 0) + number * vcpus[name]
    return used


def _secrets(clients: Clients, cluster: ClusterConfig, *, reads_values: bool) -> Iterator[Finding]:
    """That each secret is there, and, where values may be read, that it has the key; none is kept or told."""
    from botocore.exceptions import ClientError

    store = clients("secretsmanager")
    for variable, source in sorted(cluster.secrets.items()):
        try:
            found = store.describe_secret(SecretId=source.remote)
        except ClientError as exc:
            if exc.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
            text = f"Secrets Manager in {cluster.region} has no secret {source.remote}"
            yield Finding(SECRETS, variable, "bad", text)
            continue
        if found.get("DeletedDate"):
            yield Finding(SECRETS, variable, "bad", f"{source.remote} is to be deleted")
        elif not source.property or not reads_values:
            key = f", key {source.property} not looked at" if source.property else ""
            yield Finding(SECRETS, variable, "ok", f"{source.remote} is there{key}")
        else:
            state, said = _key(store, source.remote, source.property)
            yield Finding(SECRETS, variable, state, f"{source.remote} {said}")


def _key(store: Any, name: str, key: str) -> tuple[State, str]:
    """Whether a secret's JSON has a key, as the External Secrets Operator will look for it."""
    from botocore.exceptions import ClientError

    try:
        text = store.get_secret_value(SecretId=name).get("SecretString")
    except ClientError as exc:
        # As long as nobody has put one there, the value is not found although the secret is.
        if exc.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return "bad", "is there and has no value yet"
        return "skipped", f"is there, key {key} not looked at: {exc.response.get('Error', {}).get('Code')}"
    try:
        value = json.loads(text or "")
    except ValueError:
        return "bad", f"is no JSON, so it has no key {key}"
    # A name with dots may be a way into the document.
    for step in [key] if isinstance(value, dict) and key in value else key.split("."):
        if not isinstance(value, dict) or step not in value:
            return "bad", f"has no key {key}"
        value = value[step]
    return "ok", f"is there, with key {key}"


def _certificate(clients: Clients, cluster: ClusterConfig) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    arn = getattr(cluster.entrance, "certificate_arn", None)
    if not arn:
        return
    try:
        found = clients("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
        yield Finding(AREA, "certificate", "bad", f"{arn} is not there")
        return
    names = [found.get("DomainName", ""), *found.get("SubjectAlternativeNames", ())]
    if not any(_covers(name, cluster.entrance.domain) for name in names):
        yield Finding(
            AREA, "certificate", "bad", f"it is for {', '.join(names)}, not for {cluster.entrance.domain}"
        )
    elif found.get("Status") != "ISSUED":
        yield Finding(AREA, "certificate", "bad", f"it is {found.get('Status')}, not ISSUED")
    else:
        yield Finding(AREA, "certificate", "ok", f"issued for {found.get('DomainName')}")


def _covers(name: str, domain: str) -> bool:
    return name == domain or (name.startswith("*.") and name[2:] == domain.partition(".")[2])


def _eks(clients: Clients, cluster: ClusterConfig) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    try:
        found = clients("eks").describe_cluster(name=cluster.name)["cluster"]
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
        yield Finding(
            AREA, "EKS", "bad", f"{cluster.region} has no cluster {cluster.name}; terraform makes it"
        )
        return
    state: State = "ok" if found["status"] == "ACTIVE" else "bad"
    yield Finding(
        AREA, "EKS", state, f"{cluster.name} is {found['status']}, Kubernetes {found.get('version', '?')}"
    )
