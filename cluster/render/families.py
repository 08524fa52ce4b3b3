"""The one table of what is rendered, in which layer. A new family is a module beside this one and a line here.

Within a layer the order of the lines is the order of the files in its kustomization.
"""

from __future__ import annotations

from cluster.render.access import access
from cluster.render.accounts import accounts
from cluster.render.disruption import budgets, priorities
from cluster.render.external_secrets import external_secrets
from cluster.render.iam.documents import documents as iam
from cluster.render.namespaces import namespaces
from cluster.render.network.policies import policies
from cluster.render.nodes.buffers import buffers
from cluster.render.nodes.classes import node_classes
from cluster.render.nodes.pools import node_pools
from cluster.render.objects import Extra, Family
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
    Family("ray-service", "05-application", ray_service),
    # Last: places that are kept before there is anything to keep them for would be taken by Ray's first pods.
    Family("buffers", "07-operations", buffers),
)

EXTRAS: tuple[Extra, ...] = (
    Extra("iam", iam),
    Extra("terraform", terraform),
)
