"""Terraform's files, as far as they can be judged without Terraform: it needs a registry, and an account at AWS.

They parse; what they refer to is there and what is there is used; modules are pinned and asked for what they have; and
they agree with the profiles, with what is rendered of them, and with the operators that the objects are written for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

from cluster.plan import plan
from cluster.render import access, names
from cluster.render.nodes.classes import node_classes
from cluster.render.terraform import PATH, documents
from configs.load import Profile, read_profile

ROOT = Path(__file__).resolve().parents[3]
TERRAFORM = ROOT / "terraform"
ROOTS = ("cluster", "controllers")
ENVIRONMENTS = sorted((TERRAFORM / "environments").glob("*.tfvars"))
PROFILES = sorted((ROOT / "configs").glob("eks-*.yaml"))
CRDS = ROOT.parent / "shared" / "crds" / "MANIFEST.md"

# Source -> inputs and outputs that the pinned version has, of those that are used: from the modules' own variables.tf
# and outputs.tf (github.com/terraform-aws-modules), read 2026-11.
MODULES = {
    "terraform-aws-modules/vpc/aws": (
        "name cidr azs private_subnets public_subnets intra_subnets enable_nat_gateway single_nat_gateway "
        "one_nat_gateway_per_az public_subnet_tags private_subnet_tags tags",
        "vpc_id vpc_cidr_block private_subnets intra_subnets private_route_table_ids intra_route_table_ids",
    ),
    "terraform-aws-modules/vpc/aws//modules/vpc-endpoints": (
        "vpc_id subnet_ids security_group_ids endpoints tags",
        "",
    ),
    "terraform-aws-modules/eks/aws": (
        "name kubernetes_version deletion_protection vpc_id subnet_ids control_plane_subnet_ids service_ipv4_cidr "
        "endpoint_private_access endpoint_public_access endpoint_public_access_cidrs enabled_log_types "
        "cloudwatch_log_group_retention_in_days authentication_mode access_entries addons compute_config "
        "enable_cluster_creator_admin_permissions create_auto_mode_iam_resources eks_managed_node_groups "
        "node_security_group_tags cluster_tags node_iam_role_name node_iam_role_use_name_prefix tags",
        "cluster_name cluster_primary_security_group_id node_security_group_id",
    ),
    "terraform-aws-modules/eks/aws//modules/karpenter": (
        "create cluster_name namespace service_account node_iam_role_name node_iam_role_use_name_prefix "
        "node_iam_role_additional_policies tags",
        "queue_name",
    ),
    "terraform-aws-modules/eks-pod-identity/aws": (
        "create name use_name_prefix associations tags attach_aws_ebs_csi_policy attach_aws_lb_controller_policy "
        "attach_amazon_managed_service_prometheus_policy amazon_managed_service_prometheus_workspace_arns",
        "iam_role_arn",
    ),
    "terraform-aws-modules/s3-bucket/aws": (
        "bucket force_destroy versioning server_side_encryption_configuration lifecycle_rule "
        "attach_deny_insecure_transport_policy tags",
        "",
    ),
    "terraform-aws-modules/ecr/aws": (
        "repository_name repository_image_tag_mutability repository_image_scan_on_push repository_force_delete "
        "repository_lifecycle_policy tags",
        "repository_arn repository_url",
    ),
}
META = {"source", "version", "count", "for_each", "depends_on", "providers"}

Block = dict[str, Any]


def plain(value: object) -> Any:
    """hcl2 keeps quotes around strings, and braces around expressions."""
    if isinstance(value, dict):
        return {plain(key): plain(one) for key, one in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return re.sub(r'^"(.*)"$', r"\1", value) if isinstance(value, str) else value


def load(path: Path) -> Block:
    document = plain(hcl2.loads(path.read_text()))
    assert isinstance(document, dict)
    return document


@cache
def root(name: str) -> tuple[Block, ...]:
    return tuple(load(path) for path in sorted((TERRAFORM / name).glob("*.tf")))


@cache
def text(name: str) -> str:
    """All of a root's files, without comments and descriptions: what is left is code."""
    whole = "\n".join(path.read_text() for path in sorted((TERRAFORM / name).glob("*.tf")))
    whole = re.sub(r"^\s*#.*$", "", whole, flags=re.MULTILINE)
    return re.sub(r'^\s*(description|error_message)\s+=\s+".*"$', "", whole, flags=re.MULTILINE)


def blocks(name: str, kind: str) -> dict[str, Block]:
    """Address -> body: `vpc`, or `aws_iam_role.pods`."""
    found: dict[str, Block] = {}
    for document in root(name):
        for block in document.get(kind, []):
            for first, body in block.items():
                if kind in ("resource", "data", "ephemeral"):
                    found |= {f"{first}.{second}": inner for second, inner in body.items()}
                else:
                    found[first] = body
    return found


def without_validation(name: str) -> str:
    """A variable that only its own validation reads is not used."""
    return re.sub(r'^variable ".*?^}', "", text(name), flags=re.MULTILINE | re.DOTALL)


# The files by themselves.


@pytest.mark.parametrize(
    "path", sorted(TERRAFORM.rglob("*.tf*")), ids=lambda path: path.relative_to(TERRAFORM).as_posix()
)
def test_each_file_parses_and_is_formatted(path: Path) -> None:
    if path.is_dir():
        return
    load(path)
    for run in runs_of_attributes(path.read_text()):
        assert len({line.index(" = ") for line in run}) == 1, run


def runs_of_attributes(content: str) -> Iterator[list[str]]:
    """Attributes on neighbouring lines, which `terraform fmt` gives their equals signs in one column."""
    run: list[str] = []
    for line in [*content.splitlines(), ""]:
        is_attribute = re.match(r'^\s*("[^"]+"|[\w-]+) +=( |$)', line) and not line.endswith(
            ("{", "[", "(", "EOT")
        )
        same_place = run and re.match(r" *", line)[0] == re.match(r" *", run[0])[0]  # type: ignore[index]
        if is_attribute and (same_place or not run):
            run.append(line)
            continue
        if len(run) > 1:
            yield run
        run = [line] if is_attribute else []


@pytest.mark.parametrize("name", ROOTS)
def test_each_variable_is_typed_described_and_used(name: str) -> None:
    variables = blocks(name, "variable")
    used = set(re.findall(r"\bvar\.(\w+)", without_validation(name)))
    assert set(variables) == used
    for variable, body in variables.items():
        assert body.get("type"), variable
        assert str(body.get("description", "")).endswith((".", "json")), variable


@pytest.mark.parametrize("name", ROOTS)
def test_each_local_is_used_and_each_that_is_used_is_there(name: str) -> None:
    defined = {key for document in root(name) for block in document.get("locals", []) for key in block}
    assert defined == set(re.findall(r"\blocal\.(\w+)", text(name)))


@pytest.mark.parametrize("name", ROOTS)
def test_what_is_referred_to_is_there(name: str) -> None:
    code = text(name)
    there = {
        *(f"data.{address}" for address in blocks(name, "data")),
        *(f"ephemeral.{address}" for address in blocks(name, "ephemeral")),
        *blocks(name, "resource"),
    }
    pattern = r"(?<![\w.\"/-])((?:data\.|ephemeral\.)?(?:aws|random|helm|kubernetes)_\w+\.\w+)"
    assert set(re.findall(pattern, re.sub(r'"(aws|random|helm|kubernetes)_\w+"', "", code))) <= there


@pytest.mark.parametrize("name", ROOTS)
def test_each_output_says_what_it_is_for(name: str) -> None:
    for output, body in blocks(name, "output").items():
        assert body.get("description"), output
        assert "value" in body


def test_modules_are_well_kept_ones_pinned_exactly_and_given_what_they_take() -> None:
    pinned: dict[str, set[str]] = {}
    modules = blocks("cluster", "module")
    for name, body in modules.items():
        source = body["source"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", body["version"]), name
        pinned.setdefault(source.partition("//")[0], set()).add(body["version"])
        assert set(body) - META <= set(MODULES[source][0].split()), name
    assert all(len(versions) == 1 for versions in pinned.values())
    # module.NAME.OUTPUT, and `for one in module.NAME : one.OUTPUT`.
    for name, output in re.findall(r"\bmodule\.(\w+)\.(\w+)", text("cluster")):
        assert output in MODULES[modules[name]["source"]][1].split(), f"module.{name}.{output}"
    for variable, name in re.findall(r"for (?:\w+, )?(\w+) in module\.(\w+)\b", text("cluster")):
        outputs = set(re.findall(rf"\b{variable}\.(\w+)", text("cluster")))
        assert outputs <= set(MODULES[modules[name]["source"]][1].split()), name


@pytest.mark.parametrize("name", ROOTS)
def test_providers_are_bounded(name: str) -> None:
    (settings,) = [block for document in root(name) for block in document.get("terraform", [])]
    assert settings["required_version"] == ">= 1.11"
    for provider in settings["required_providers"][0].values():
        assert re.fullmatch(r"~> \d+\.\d+", provider["version"])
        assert provider["source"].startswith("hashicorp/")


# What must never be in them.


def test_no_secret_is_in_the_files_or_gets_into_the_state() -> None:
    for name in ROOTS:
        for attribute in re.findall(
            r"^\s*(\w*(?:password|token|secret_string)\w*)\s+=", text(name), re.MULTILINE
        ):
            # Write-only arguments end in `_wo`; the others say how, not what.
            assert re.search(
                r"_wo(_version)?$|^(manage_|auth_token_update|has_|redis_password_version|token_of)",
                attribute,
            )
    assert {address.partition(".")[0] for address in blocks("cluster", "ephemeral")} == {"random_password"}


def test_no_policy_allows_whatever_there_is() -> None:
    for address, body in blocks("cluster", "data").items():
        if address.startswith("aws_iam_policy_document"):
            for statement in body["statement"]:
                for action in statement["actions"] if isinstance(statement["actions"], list) else []:
                    assert "*" not in action, address
    (look,) = [body for address, body in blocks("cluster", "data").items() if address.endswith(".look")]
    open_ones = [one["sid"] for one in look["statement"] if one["resources"] == ["*"]]
    assert open_ones == ["Preflight"], "actions that AWS cannot limit to a resource"
    (preflight,) = re.findall(r"preflight_actions = \[(.*?)\]", text("cluster"), re.DOTALL)
    verbs = {action.partition(":")[2] for action in re.findall(r'"(.*?)"', preflight)}
    assert all(verb.startswith(("Describe", "Get", "List")) for verb in verbs)


# Environments.


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_says_all_that_no_profile_does(path: Path) -> None:
    given, variables = load(path), blocks("cluster", "variable")
    needed = {name for name, body in variables.items() if "default" not in body}
    assert set(given) <= set(variables)
    assert needed - set(given) == set(_variables(PROFILES[0]))
    assert given["environment"] == path.stem
    assert given["nat_gateways"] in ("one", "one-per-zone")
    backend = load(path.with_suffix(".s3.tfbackend"))
    assert set(backend) == {"bucket", "key", "region", "encrypt", "use_lockfile"}
    assert f"/{path.stem}/" in backend["key"]


def test_a_cluster_that_matters_is_hard_to_delete() -> None:
    assert load(TERRAFORM / "environments" / "prod.tfvars")["deletion_protection"] is True


# What the profile says.


def _profile(path: Path) -> Profile:
    return read_profile(path)


def _variables(path: Path) -> dict[str, Any]:
    profile = _profile(path)
    return dict(documents(profile.platform, plan(profile))[PATH])


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profiles_variables_are_those_that_terraform_wants_of_it(path: Path) -> None:
    made, variables = _variables(path), blocks("cluster", "variable")
    order = list(variables)
    assert set(made) == set(order[: order.index("environment")])
    assert made["compute"] in ("karpenter", "auto-mode")
    assert len(made["zones"]) >= 3
    assert made["vpc_cidr"].endswith(".0.0/16")
    assert made["redis_secret"] is None or made["redis_secret"]["name"] in made["secrets"]
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_nodes_find_their_role_and_subnets(path: Path) -> None:
    profile = _profile(path)
    name = _variables(path)["name"]
    code = text("cluster")
    assert 'node_role = "${var.name}-node"' in code
    assert 'discovery = { "karpenter.sh/discovery" = var.name }' in code
    for made in node_classes(profile.platform, plan(profile)):
        assert made["spec"]["role"] == f"{name}-node"
        for terms in ("subnetSelectorTerms", "securityGroupSelectorTerms"):
            assert made["spec"][terms] == [{"tags": {"karpenter.sh/discovery": name}}]


def test_people_get_the_groups_that_the_rendered_roles_are_bound_to() -> None:
    code = text("cluster")
    assert set(re.findall(r'"(manta:\w+)"', code)) == {access.VIEWERS, access.OPERATORS}


# The operators.


def _charts() -> dict[str, Block]:
    return {body["chart"]: body for body in blocks("controllers", "resource").values() if "chart" in body}


def test_the_controllers_root_wants_what_the_clusters_gives() -> None:
    given = re.search(r'output "controllers" \{.*?value = \{(.*?)\n  \}', text("cluster"), re.DOTALL)
    assert given
    wanted = {name for name, body in blocks("controllers", "variable").items() if "default" not in body}
    assert set(re.findall(r"^\s+(\w+)\s+=", given[1], re.MULTILINE)) == wanted


def test_charts_are_pinned_and_live_where_the_rules_of_the_network_expect_them() -> None:
    charts = _charts()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", body["version"]) for body in charts.values())
    assert charts["kuberay-operator"]["namespace"] == names.KUBERAY_NAMESPACE
    assert charts["external-secrets"]["namespace"] == names.EXTERNAL_SECRETS_NAMESPACE
    assert charts["kube-prometheus-stack"]["namespace"] == names.MONITORING_NAMESPACE


def test_operators_are_of_the_versions_whose_schemas_the_objects_are_checked_against() -> None:
    if not CRDS.exists():
        pytest.skip(f"{CRDS} is not there: which versions the schemas are of is not known")
    tags = dict(
        re.findall(r"^\| ([\w.]+) \| [^|]+ \| (?:[a-z-]+-)?v?([\d.]+) \|", CRDS.read_text(), re.MULTILINE)
    )
    charts = _charts()
    for chart, group in {
        "kuberay-operator": "ray.io",
        "karpenter": "karpenter.k8s.aws",
        "keda": "keda.sh",
        "opensearch-operator": "opensearch.org",
    }.items():
        assert charts[chart]["version"] == tags[group], chart
