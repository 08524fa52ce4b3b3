"""The one table of what is rendered, in which wave. A new family is a module beside this one and a line here.

Within a wave the order of the lines is the order of the files in its kustomization.
"""

from __future__ import annotations

from cluster.render.access import access
from cluster.render.accounts import accounts
from cluster.render.alerts.rules import rules
from cluster.render.collector import collector
from cluster.render.dashboards.config_maps import dashboards
from cluster.render.disruption import budgets, priorities
from cluster.render.entrance.objects import entrance
from cluster.render.external_secrets import external_secrets
from cluster.render.iam.documents import documents as iam
from cluster.render.ingestion import ingestion
from cluster.render.kagent import kagent
from cluster.render.langfuse import langfuse
from cluster.render.litellm_proxy import litellm
from cluster.render.monitors import monitors
from cluster.render.namespaces import namespaces
from cluster.render.network.policies import policies
from cluster.render.nodes.buffers import buffers
from cluster.render.nodes.classes import node_classes
from cluster.render.nodes.pools import node_pools
from cluster.render.objects import Extra, Family
from cluster.render.opensearch import opensearch
from cluster.render.quotas import quotas
from cluster.render.ray.service import ray_service
from cluster.render.terraform import documents as terraform

FAMILIES: tuple[Family, ...] = (
    Family("namespaces", "01-foundation", namespaces),
    Family("accounts", "01-foundation", accounts),
    Family("access", "01-foundation", access),
    Family("quotas", "01-foundation", quotas),
    Family("network", "01-foundation", policies),
    Family("priorities", "01-foundation", priorities),
    Family("disruption", "01-foundation", budgets),
    Family("node-classes", "02-nodes", node_classes),
    Family("node-pools", "02-nodes", node_pools),
    Family("secrets", "03-secrets", external_secrets),
    Family("opensearch", "04-stores", opensearch),
    Family("collector", "04-stores", collector),
    Family("ray-service", "05-application", ray_service),
    Family("litellm", "06-entrance", litellm),
    Family("entrance", "06-entrance", entrance),
    Family("monitors", "07-operations", monitors),
    Family("alerts", "07-operations", rules),
    Family("dashboards", "07-operations", dashboards),
    Family("ingestion", "07-operations", ingestion),
    Family("kagent", "07-operations", kagent),
    # Last: places that are kept before there is anything to keep them for would be taken by Ray's first pods.
    Family("buffers", "07-operations", buffers),
)

EXTRAS: tuple[Extra, ...] = (
    Extra("iam", iam),
    Extra("langfuse", langfuse),
    Extra("terraform", terraform),
)
