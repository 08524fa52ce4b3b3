# A cluster to try things on: one NAT gateway, nothing that refuses to be deleted.
environment         = "dev"
nat_gateways        = "one"
interface_endpoints = []

# The addresses from which you reach the Kubernetes API; empty: from inside the VPC only.
api_cidrs           = []
deletion_protection = false

admin_principals    = []
operator_principals = []
viewer_principals   = []

github_repository        = null
github_oidc_provider_arn = null

redis_node_type = "cache.t4g.small"
opensearch      = null
postgres        = null
grafana         = false

budget_usd_per_month = 500
budget_emails        = ["platform@example.com"]
