from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cluster.render.accounts import accounts
from cluster.render.iam.documents import documents
from cluster.render.langfuse import langfuse


def _policies(made: dict[str, Any]) -> dict[str, Any]:
    return {path: document for path, document in made.items() if path.endswith(".policy.json")}


def test_no_action_is_a_pattern_and_no_resource_is_everything(each: Any) -> None:
    statements = [one for policy in _policies(documents(*each)).values() for one in policy["Statement"]]
    assert statements
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert all("*" not in action for action in statement["Action"])
        for arn in statement["Resource"]:
            assert arn.startswith("arn:aws:")
            assert arn.split(":", 5)[5] not in ("", "*")


def test_a_role_is_for_one_account_of_one_cluster(each: Any) -> None:
    made = documents(*each)
    entries = made["iam/associations.json"]["associations"]
    assert len(entries) * 2 + 1 == len(made)
    for entry in entries:
        trust = made[f"iam/{entry['document']}.trust.json"]["Statement"][0]
        assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
        assert trust["Condition"]["StringEquals"] == {
            "aws:RequestTag/eks-cluster-arn": f"arn:aws:eks:{each.cluster.region}:{each.cluster.account_id}:cluster/"
            f"{each.cluster.name}",
            "aws:RequestTag/kubernetes-namespace": entry["namespace"],
            "aws:RequestTag/kubernetes-service-account": entry["serviceAccount"],
        }


def test_who_takes_a_role_exists(each: Any) -> None:
    there = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in accounts(*each)}
    there.add(("external-secrets", "external-secrets"))  # its operator's, by its chart
    for values in langfuse(*each).values():  # likewise
        account = values["langfuse"]["serviceAccount"]["name"]
        there.add((each.cluster.namespaces.observability, account))
    for entry in documents(*each)["iam/associations.json"]["associations"]:
        assert (entry["namespace"], entry["serviceAccount"]) in there


def test_the_operator_reads_the_secrets_that_are_named_and_no_other(each: Any) -> None:
    policy = documents(*each)["iam/external-secrets.policy.json"]["Statement"][0]
    prefix = f"arn:aws:secretsmanager:{each.cluster.region}:{each.cluster.account_id}:secret:"
    assert {arn.removeprefix(prefix) for arn in policy["Resource"]} == {
        f"{source.remote}-??????" for source in each.cluster.secrets.values()
    }


def test_who_needs_nothing_at_aws_has_no_role(planned: Callable[..., Any]) -> None:
    each = planned(
        "eks-graviton",
        knowledge__sources=[],
        cluster__parts__litellm=None,
        litellm=None,
    )
    entries = documents(*each)["iam/associations.json"]["associations"]
    assert [entry["document"] for entry in entries] == ["external-secrets"]
