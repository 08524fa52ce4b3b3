"""OpenSearch in the cluster, as a resource of its operator (opensearch.org/v1); a domain of AWS needs no objects.

Which of the two it is the profile says: `cluster.parts.opensearch` makes one here, and `knowledge.store` has its
address in either case. With AWS that is the domain's endpoint, and requests are signed (`auth: {kind: sigv4}`) with the
role that Pod Identity gives the application's pods.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from cluster.plan_types import ClusterPlan
from cluster.render import names
from cluster.render.objects import Object, metadata
from cluster.render.workloads import quantity_cpus, quantity_gib
from cluster.section import cluster_of
from configs.load import ProfileError
from configs.schema import ClusterConfig, OpenSearchPart, OpenSearchStoreConfig, PlatformConfig
from configs.schema.base import secrets_of

NAME = "opensearch"
PORT = 9200
# The store's contract runs against 2.19; of 3.x it uses nothing that 2.19 has not.
_VERSION = "2.19.1"
_STORAGE_CLASS = "manta-gp3"
_SECURITY_SECRET = "opensearch-security"  # noqa: S105 (a name)
_HEAP_SHARE = 0.5  # of a node's memory; the rest is for the vectors' pages
# Without these files the operator takes OpenSearch's demonstration: users whose passwords are in its documentation.
# It writes the administrators' hashes itself (operator 3.0, docs/userguide/main.md, "Securityconfig").
_SECURITY_FILES = {
    "internal_users.yml": """_meta: {type: internalusers, config_version: 2}
admin: {reserved: true, backend_roles: [admin], description: The operator}
kibanaserver: {reserved: true, description: Dashboards}
""",
    "roles.yml": "_meta: {type: roles, config_version: 2}\n",
    "roles_mapping.yml": """_meta: {type: rolesmapping, config_version: 2}
all_access: {reserved: false, backend_roles: [admin]}
kibana_server: {reserved: true, users: [kibanaserver]}
""",
    "tenants.yml": "_meta: {type: tenants, config_version: 2}\n",
}


def opensearch(config: PlatformConfig, _plan: ClusterPlan) -> list[Object]:
    """The OpenSearchCluster; none, where OpenSearch is elsewhere or not used.

    Raises:
        ProfileError: the profile has an OpenSearch here and its store is another one; or a store at AWS without
            signatures or encryption.
    """
    cluster = cluster_of(config)
    part, store = cluster.parts.opensearch, config.knowledge.store
    if part is None:
        if isinstance(store, OpenSearchStoreConfig):
            _check_outside(store)
        return []
    if not isinstance(store, OpenSearchStoreConfig) or urlsplit(store.url).hostname not in _hosts(cluster):
        raise ProfileError(
            f"knowledge.store: cluster.parts.opensearch makes an OpenSearch at {url(cluster)}, and nothing uses it"
        )
    _check_inside(store)
    return [_storage_class(cluster), _cluster(cluster, part, store), *_user(cluster, store)]


def url(cluster: ClusterConfig) -> str:
    """Where the application finds the one that is made here."""
    return f"http://{NAME}.{cluster.namespaces.knowledge}.svc.cluster.local:{PORT}"


def _hosts(cluster: ClusterConfig) -> tuple[str, ...]:
    service = f"{NAME}.{cluster.namespaces.knowledge}"
    return f"{service}.svc.cluster.local", f"{service}.svc", service


def secret_variables(config: PlatformConfig) -> tuple[str, ...]:
    """Environment variables whose values OpenSearch's own namespace needs: the password that it gives the user."""
    store = config.knowledge.store
    if cluster_of(config).parts.opensearch is None or not isinstance(store, OpenSearchStoreConfig):
        return ()
    return tuple(sorted(secrets_of(store)))


def _check_inside(store: OpenSearchStoreConfig) -> None:
    if store.auth is None or store.auth.kind != "basic":
        raise ProfileError(
            "knowledge.store.auth: the OpenSearch of cluster.parts.opensearch knows users by name and password; say "
            "{kind: basic, user: ..., password: {env: ...}}"
        )
    if store.url.startswith("https:") and store.ca_file is None:
        raise ProfileError(
            "knowledge.store.url: the operator's certificate is signed by nobody that the application knows; say http, "
            "which stays inside the cluster, or name its authority in ca_file"
        )


def _check_outside(store: OpenSearchStoreConfig) -> None:
    parts = urlsplit(store.url)
    is_at_aws = (parts.hostname or "").endswith((".es.amazonaws.com", ".aoss.amazonaws.com", ".on.aws"))
    if is_at_aws and (store.auth is None or store.auth.kind != "sigv4"):
        raise ProfileError(
            "knowledge.store.auth: a domain of AWS lets nobody in without a signature; say {kind: sigv4, region: ...}"
        )
    if parts.scheme != "https":
        raise ProfileError(
            f"knowledge.store.url: {store.url} is outside the cluster and not encrypted: use https"
        )


def _storage_class(cluster: ClusterConfig) -> Object:
    """Encrypted, and bought in the zone that the pod is put into. EKS brings no class of its own for gp3."""
    driver = "ebs.csi.eks.amazonaws.com" if cluster.compute == "auto-mode" else "ebs.csi.aws.com"
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata(_STORAGE_CLASS, NAME),
        "provisioner": driver,
        "parameters": {"type": "gp3", "encrypted": "true"},
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Retain",  # what was ingested outlives a slip of kubectl
    }


def _cluster(cluster: ClusterConfig, part: OpenSearchPart, store: OpenSearchStoreConfig) -> Object:
    is_encrypted = store.url.startswith("https:")
    return {
        "apiVersion": "opensearch.org/v1",
        "kind": "OpenSearchCluster",
        "metadata": metadata(NAME, NAME, cluster.namespaces.knowledge),
        "spec": {
            "general": {
                "serviceName": NAME,
                "version": _VERSION,
                "httpPort": PORT,
                "drainDataNodes": True,
                # It would be a privileged container. AL2023's nodes have 524288, and 262144 is asked for
                # (awslabs/amazon-eks-ami, templates/al2023/runtime/rootfs/etc/sysctl.conf, 2026-11).
                "setVMMaxMapCount": False,
                "podSecurityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "fsGroup": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            },
            "confMgmt": {"smartScaler": True},
            "security": {
                # The administrator's password is the operator's own: random, in a Secret beside it.
                "config": {"securityConfigSecret": {"name": _SECURITY_SECRET}},
                "tls": {
                    "http": {"enabled": is_encrypted, "generate": is_encrypted},
                    "transport": {"enabled": True, "generate": True, "perNode": True},
                },
            },
            "nodePools": [_nodes(part, len(cluster.zones))],
        },
    }


def _user(cluster: ClusterConfig, store: OpenSearchStoreConfig) -> list[Object]:
    """The application's user: whatever it likes with its own indices, and nothing with others'."""
    assert store.auth is not None
    assert store.auth.kind == "basic"  # `_check_inside` has refused others
    user, password = store.auth.user, store.auth.password.env
    space = cluster.namespaces.knowledge
    of = {"opensearchCluster": {"name": NAME}}

    def made(kind: str, name: str, spec: Object) -> Object:
        return {
            "apiVersion": "opensearch.org/v1",
            "kind": kind,
            "metadata": metadata(name, NAME, space),
            "spec": of | spec,
        }

    return [
        _security_files(cluster, password),
        made(
            "OpensearchRole",
            user,
            {
                "clusterPermissions": [
                    "cluster_composite_ops",
                    "cluster_monitor",
                    "indices:admin/index_template/*",
                ],
                "indexPermissions": [
                    {"indexPatterns": [f"{store.index}*"], "allowedActions": ["indices_all"]}
                ],
            },
        ),
        made("OpensearchUser", user, {"passwordFrom": {"name": names.KNOWLEDGE_SECRET, "key": password}}),
        made("OpensearchUserRoleBinding", user, {"users": [user], "roles": [user]}),
    ]


def _security_files(cluster: ClusterConfig, password: str) -> Object:
    """The Secret with the security plugin's files, made by the External Secrets Operator from a template.

    Nothing in them is secret, but the operator wants a Secret; rendered as one it would look like a leak to every
    scanner. The operator of secrets makes none from nothing, so it reads the user's password beside it.
    """
    source = cluster.secrets[password]
    remote = {"key": source.remote} | ({"property": source.property} if source.property else {})
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": metadata(_SECURITY_SECRET, NAME, cluster.namespaces.knowledge),
        "spec": {
            "refreshInterval": "1h0m0s",
            "secretStoreRef": {"kind": "SecretStore", "name": names.SECRET_STORE},
            "target": {
                "name": _SECURITY_SECRET,
                "creationPolicy": "Owner",
                "deletionPolicy": "Retain",
                "template": {"engineVersion": "v2", "mergePolicy": "Replace", "data": dict(_SECURITY_FILES)},
            },
            "data": [{"secretKey": password, "remoteRef": remote}],
        },
    }


def _nodes(part: OpenSearchPart, num_zones: int) -> Object:
    memory, cpu = quantity_gib(part.memory_gib), quantity_cpus(part.cpus)
    heap_mib = round(part.memory_gib * _HEAP_SHARE * 1024)
    return {
        "component": "nodes",
        "replicas": part.nodes,
        "roles": ["cluster_manager", "data", "ingest"],
        "diskSize": f"{part.disk_gib}Gi",
        "jvm": f"-Xms{heap_mib}M -Xmx{heap_mib}M",
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}},
        "labels": names.labels(NAME),
        "nodeSelector": {names.ROLE_LABEL: "system"},
        "tolerations": [names.role_toleration("system")],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                # A volume binds its node to a zone for ever: three in one zone could never be spread again. Without
                # the number of zones only those count that have a node of the pool already: at first that is one.
                "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": min(part.nodes, num_zones),
                "labelSelector": {"matchLabels": {names.COMPONENT_LABEL: NAME}},
            }
        ],
        "pdb": {"enable": True, "maxUnavailable": 1},
        "persistence": {"pvc": {"accessModes": ["ReadWriteOnce"], "storageClass": _STORAGE_CLASS}},
    }
