# A cluster that outlives a zone, and mistakes.
environment  = "prod"
nat_gateways = "one-per-zone"
interface_endpoints = [
  "ec2",
  "ecr.api",
  "ecr.dkr",
  "eks-auth",
  "logs",
  "secretsmanager",
  "sts",
]

# From inside the VPC only: through a VPN, or a runner of CI that is there.
api_cidrs           = []
deletion_protection = true

# ARNs of roles that people get from IAM Identity Center.
admin_principals    = ["arn:aws:iam::111122223333:role/platform-admin"]
operator_principals = ["arn:aws:iam::111122223333:role/manta-operator"]
viewer_principals   = ["arn:aws:iam::111122223333:role/manta-viewer"]

github_repository        = "example/manta"
github_oidc_provider_arn = null

redis_node_type = "cache.m7g.large"
opensearch = {
  instance_type  = "r7g.large.search"
  instance_count = 3
  disk_gib       = 200
}
postgres = {
  instance_class = "db.t4g.medium"
  disk_gib       = 20
}
grafana = true

budget_usd_per_month = 20000
budget_emails        = ["platform@example.com"]
