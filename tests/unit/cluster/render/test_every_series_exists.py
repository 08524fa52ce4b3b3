"""What dashboards, alerts and KEDA ask Prometheus for: each expression parses, and asks for what somebody exports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser
import pytest

from cluster.render.alerts.rules import alerts_by_group
from cluster.render.dashboards.config_maps import dashboards
from cluster.render.ingestion import query
from cluster.series.catalogue import catalogue

# What Prometheus adds to each series of a scrape, and what the PodMonitor of Ray's pods keeps of their labels.
OF_THE_SCRAPE = {
    "namespace",
    "pod",
    "container",
    "instance",
    "job",
    "endpoint",
    "manta_group",
    "ray_io_cluster",
}
VARIABLES = {"$__range": "1h", "$namespace": "manta"}


@pytest.fixture
def asked(each: Any) -> list[str]:
    """Every expression of a profile."""
    found = [alert.expr for alerts in alerts_by_group(*each).values() for alert in alerts]
    for config_map in dashboards(*each):
        for text in config_map["data"].values():
            found += _of_dashboard(json.loads(text))
    return [*found, query("manta")]


def _of_dashboard(dashboard: dict[str, Any]) -> Iterator[str]:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def parsed(expr: str) -> promql_parser.Expr:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    return promql_parser.parse(expr)


def nodes(expr: promql_parser.Expr, kind: type) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(expr, lambda node: found.append(node) if isinstance(node, kind) else None)
    return found


def selectors(expr: promql_parser.Expr) -> list[Any]:
    return nodes(expr, promql_parser.VectorSelector)


def test_every_series_is_exported_and_stays(asked: list[str]) -> None:
    assert len(asked) > 60
    for expr in asked:
        found = selectors(parsed(expr))
        assert found or expr.startswith("vector("), expr
        for selector in found:
            assert selector.name in catalogue(), f"nobody exports {selector.name}: {expr}"
            assert catalogue()[selector.name].is_steady, (
                f"{selector.name} is only there after a deploy: {expr}"
            )


def test_every_condition_is_on_a_label_that_the_series_has(asked: list[str]) -> None:
    for expr in asked:
        for selector in selectors(parsed(expr)):
            labels = catalogue()[selector.name].labels
            if labels is not None:
                conditions = {matcher.name for matcher in selector.matchers.matchers}
                assert conditions <= labels | OF_THE_SCRAPE, f"{selector.name} has no such label: {expr}"


def test_what_is_summed_by_a_label_has_it(asked: list[str]) -> None:
    for expr in asked:
        for aggregate in nodes(parsed(expr), promql_parser.AggregateExpr):
            if aggregate.modifier is None:
                continue
            for selector in selectors(aggregate.expr):
                labels = catalogue()[selector.name].labels
                if labels is not None:
                    missing = set(aggregate.modifier.labels) - labels - OF_THE_SCRAPE
                    assert not missing, f"{selector.name} has no {missing}: {expr}"


def test_rates_are_of_counters_and_levels_of_gauges(asked: list[str]) -> None:
    """The rate of a gauge, or the sum of a counter since the process began, is a number that means nothing."""
    for expr in asked:
        tree = parsed(expr)
        ranged = Counter(one.vector_selector.name for one in nodes(tree, promql_parser.MatrixSelector))
        # A walk comes to the selector inside of a range too.
        levels = Counter(one.name for one in nodes(tree, promql_parser.VectorSelector)) - ranged
        assert all(catalogue()[name].kind != "gauge" for name in ranged), expr
        if not isinstance(tree, promql_parser.VectorSelector):  # a variable's: its labels are asked for
            assert all(catalogue()[name].kind == "gauge" for name in levels), expr


def test_two_in_one_prometheus_stay_apart(asked: list[str]) -> None:
    for expr in asked:
        for selector in selectors(parsed(expr)):
            assert any(matcher.name == "namespace" for matcher in selector.matchers.matchers), expr


def test_a_name_that_nobody_exports_cannot_be_written() -> None:
    from cluster.render.queries import Queries

    with pytest.raises(KeyError, match="ray_agent_happiness_total"):
        Queries("manta").of("ray_agent_happiness_total")


def test_the_names_of_models_are_those_in_the_metrics(planned: Callable[..., Any]) -> None:
    """`name` and `model` in series are the profile's names, `deployment` Serve's."""
    config, plan = planned("eks-gpu")
    deployments = {replica.deployment for group in plan.groups for replica in group.replicas}
    names = {model.name for model in config.models} | {config.agent.name, config.embedder.name}
    names |= {agent.name for agent in config.agents} | ({config.reranker.name} if config.reranker else set())
    for alerts in alerts_by_group(config, plan).values():
        for alert in alerts:
            for selector in selectors(parsed(alert.expr)):
                for matcher in selector.matchers.matchers:
                    known = {"deployment": deployments, "name": names, "model": names, "agent": names}
                    for value in matcher.value.split("|") if matcher.name in known else ():
                        assert value.replace("[.]", ".") in known[matcher.name], alert.expr
