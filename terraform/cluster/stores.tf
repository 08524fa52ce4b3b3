# What outlives the cluster: weights and documents, Ray's state, the corpus, the gateway's keys.

module "buckets" {
  for_each = setsubtract(var.buckets, var.existing_buckets)

  source  = "terraform-aws-modules/s3-bucket/aws"
  version = "5.12.0"

  bucket        = each.key
  force_destroy = !var.deletion_protection

  versioning = { enabled = true }
  server_side_encryption_configuration = {
    rule = { apply_server_side_encryption_by_default = { sse_algorithm = "AES256" } }
  }
  attach_deny_insecure_transport_policy = true
  lifecycle_rule = [{
    id                                     = "leftovers"
    enabled                                = true
    abort_incomplete_multipart_upload_days = 3
    noncurrent_version_expiration          = { days = 30 }
  }]

  tags = local.tags
}

resource "aws_security_group" "stores" {
  name        = "${var.name}-stores"
  description = "Redis, OpenSearch and Postgres, for the cluster's nodes"
  vpc_id      = module.vpc.vpc_id
}

# Pods have their node's security group: its own in the standard form, the cluster's in Auto Mode.
resource "aws_vpc_security_group_ingress_rule" "stores" {
  for_each = { redis = 6379, opensearch = 443, postgres = 5432 }

  security_group_id            = aws_security_group.stores.id
  description                  = "${each.key} from the nodes"
  referenced_security_group_id = local.is_auto ? module.eks.cluster_primary_security_group_id : module.eks.node_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

# Redis: Ray's state (so that a new head finds the old one's actors), the door's counters, sessions.

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = module.vpc.intra_subnets
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "valkey8"

  # Full, it refuses what is new; throwing away old keys would be throwing away Ray's state.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# Exists while Terraform runs, and goes to AWS through write-only arguments: never into the state.
ephemeral "random_password" "redis" {
  length  = 64
  special = false
}

locals {
  has_redis_password = var.redis_secret != null
  # Raised by hand for a new password: both places get it in one run.
  redis_password_version = 1
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Ray's state, counters and sessions of ${var.name}"

  engine               = "valkey"
  engine_version       = "8.0"
  parameter_group_name = aws_elasticache_parameter_group.this.name
  node_type            = var.redis_node_type
  port                 = 6379

  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.stores.id]

  at_rest_encryption_enabled = true
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token_wo              = local.has_redis_password ? ephemeral.random_password.redis.result : null
  auth_token_wo_version      = local.has_redis_password ? local.redis_password_version : null
  auth_token_update_strategy = local.has_redis_password ? "ROTATE" : null

  snapshot_retention_limit = 1
}

# Secrets: the places only. `aws secretsmanager put-secret-value` fills them, past Terraform and its state.

resource "aws_secretsmanager_secret" "this" {
  for_each = toset(var.secrets)

  name                    = each.key
  recovery_window_in_days = var.deletion_protection ? 30 : 7
}

resource "aws_secretsmanager_secret_version" "redis" {
  for_each = toset(local.has_redis_password ? [var.redis_secret.name] : [])

  secret_id = aws_secretsmanager_secret.this[each.key].id
  secret_string_wo = (
    var.redis_secret.property == null ? ephemeral.random_password.redis.result
    : jsonencode({ (var.redis_secret.property) = ephemeral.random_password.redis.result })
  )
  secret_string_wo_version = local.redis_password_version
}

# The corpus, where a domain of AWS keeps it.

resource "aws_opensearch_domain" "this" {
  count = var.opensearch == null ? 0 : 1

  domain_name    = var.name
  engine_version = "OpenSearch_2.19"

  cluster_config {
    instance_type          = var.opensearch.instance_type
    instance_count         = var.opensearch.instance_count
    zone_awareness_enabled = var.opensearch.instance_count > 1

    dynamic "zone_awareness_config" {
      for_each = var.opensearch.instance_count > 1 ? [min(3, var.opensearch.instance_count)] : []

      content {
        availability_zone_count = zone_awareness_config.value
      }
    }
  }

  ebs_options {
    ebs_enabled = true
    volume_type = "gp3"
    volume_size = var.opensearch.disk_gib
  }

  vpc_options {
    subnet_ids         = slice(module.vpc.intra_subnets, 0, min(3, var.opensearch.instance_count))
    security_group_ids = [aws_security_group.stores.id]
  }

  encrypt_at_rest {
    enabled = true
  }

  node_to_node_encryption {
    enabled = true
  }

  domain_endpoint_options {
    enforce_https       = true
    tls_security_policy = "Policy-Min-TLS-1-2-PFS-2023-10"
  }
}

# Only the pods' role, and only with its signature (SigV4). The role exists once the profile names the domain.
resource "aws_opensearch_domain_policy" "this" {
  count = var.opensearch != null && contains(keys(var.roles), "ray-worker") ? 1 : 0

  domain_name     = aws_opensearch_domain.this[0].domain_name
  access_policies = data.aws_iam_policy_document.opensearch[0].json
}

data "aws_iam_policy_document" "opensearch" {
  count = var.opensearch != null && contains(keys(var.roles), "ray-worker") ? 1 : 0

  statement {
    actions   = ["es:ESHttpDelete", "es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut"]
    resources = ["${aws_opensearch_domain.this[0].arn}/*"]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.pods["ray-worker"].arn]
    }
  }
}

# LiteLLM's keys. RDS makes the password and keeps it in a secret of its own.

resource "aws_db_subnet_group" "this" {
  count = var.postgres == null ? 0 : 1

  name       = var.name
  subnet_ids = module.vpc.intra_subnets
}

resource "aws_db_instance" "this" {
  count = var.postgres == null ? 0 : 1

  identifier                  = var.name
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = var.postgres.instance_class
  allocated_storage           = var.postgres.disk_gib
  storage_encrypted           = true
  db_name                     = "litellm"
  username                    = "litellm"
  manage_master_user_password = true

  db_subnet_group_name   = aws_db_subnet_group.this[0].name
  vpc_security_group_ids = [aws_security_group.stores.id]
  multi_az               = var.deletion_protection

  backup_retention_period   = 7
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = "${var.name}-final"
}
