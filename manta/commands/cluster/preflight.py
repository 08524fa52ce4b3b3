"""`manta cluster preflight`: whether a profile's cluster can be applied, as one table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table

from cluster.plan import plan
from cluster.plan_types import ClusterPlan
from cluster.preflight.account import check_account, clients_of
from cluster.preflight.findings import Finding, State, is_fit
from cluster.preflight.images import check_images
from cluster.preflight.in_cluster import check_cluster
from cluster.preflight.references import images_of
from cluster.preflight.tools import check_tools
from cluster.render.families import FAMILIES
from cluster.section import cluster_of
from configs.load import Profile, read_profile
from kuberay.cluster import Cluster
from kuberay.errors import ClusterError
from kuberay.objects import Document
from manta.commands.cluster.connection import cluster_options
from manta.console import out

_STYLES: dict[State, str] = {"ok": "green", "warn": "yellow", "bad": "red", "skipped": "dim"}


@click.command("preflight")
@click.argument("profile", type=click.Path(path_type=Path))
@cluster_options
@click.option("--aws-profile", default=None, help="Profile of AWS's own configuration; default: its default.")
@click.option(
    "--aws/--no-aws", "asks_aws", default=True, help="Whether to ask the AWS account; default: yes."
)
@click.option(
    "--cluster/--no-cluster", "asks_cluster", default=True, help="Whether to ask the cluster; default: yes."
)
@click.option(
    "--secret-keys",
    "reads_secrets",
    is_flag=True,
    help="Look for the keys in Secrets Manager's secrets too: reads their values, keeps and shows none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(
    profile: Path,
    *,
    kubeconfig: Path | None,
    context: str | None,
    aws_profile: str | None,
    asks_aws: bool,
    asks_cluster: bool,
    reads_secrets: bool,
    as_json: bool,
) -> int:
    """Look at everything that PROFILE's cluster needs; exit code 1 when something of it is not there.

    Tools, the AWS account (region, zones, quotas, secrets, certificate), images, the Kubernetes cluster with its
    operators. Nothing is changed, and no value of Secrets Manager's is read unless --secret-keys asks for it.
    """
    read = read_profile(profile)
    made = plan(read)
    findings = [
        *check_tools(),
        *_outside(read, made, aws_profile, asks_aws=asks_aws, reads_secrets=reads_secrets),
        *(_inside(_objects(read, made), kubeconfig, context) if asks_cluster else ()),
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in findings], indent=2))
    else:
        _show(findings, made.profile)
    return 0 if is_fit(findings) else 1


def _objects(profile: Profile, made: ClusterPlan) -> list[Document]:
    return [one for family in FAMILIES for one in family.objects(profile.platform, made)]


def _outside(
    profile: Profile, made: ClusterPlan, aws_profile: str | None, *, asks_aws: bool, reads_secrets: bool
) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError

    cluster = cluster_of(profile.platform)
    clients = None
    if asks_aws:
        try:
            clients = clients_of(cluster.region, aws_profile)
        except BotoCoreError as exc:  # no such profile
            yield Finding("account", "identity", "bad", " ".join(str(exc).split()))
        else:
            yield from check_account(clients, cluster, made, reads_secrets=reads_secrets)
    yield from check_images(images_of(_objects(profile, made)), clients)


def _inside(objects: list[Document], kubeconfig: Path | None, context: str | None) -> Iterator[Finding]:
    try:
        with Cluster.open(kubeconfig, context, patience_s=20.0) as cluster:
            yield from check_cluster(cluster, objects)
    except ClusterError as exc:
        yield Finding("cluster", "Kubernetes", "bad", str(exc))


def _show(findings: list[Finding], name: str) -> None:
    table = Table(title=f"preflight of {name}", title_justify="left", box=None, pad_edge=False)
    for column in ("", "area", "what", "found"):
        table.add_column(column, overflow="fold")
    for one in findings:
        table.add_row(f"[{_STYLES[one.state]}]{one.state}[/]", one.area, one.subject, one.text)
    out.print(table)
    counts = {state: sum(one.state == state for one in findings) for state in _STYLES}
    out.print(", ".join(f"{count} {state}" for state, count in counts.items() if count))
