# For the profile.

output "redis_address" {
  description = "cluster.gcs_redis.address; door.redis.url is rediss:// and this."
  value       = "${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

output "image_repositories" {
  description = "Where CI pushes the images; cluster.images names them with their digests."
  value       = { for name, repository in module.images : name => repository.repository_url }
}

output "opensearch_url" {
  description = "knowledge.store.url; null: there is no domain."
  value       = one([for domain in aws_opensearch_domain.this : "https://${domain.endpoint}"])
}

output "postgres_address" {
  description = "Host and port for litellm.database; null: there is none."
  value       = one([for instance in aws_db_instance.this : instance.endpoint])
}

output "postgres_secret_arn" {
  description = "Where RDS keeps the user's name and password of that; null: there is none."
  value       = one([for instance in aws_db_instance.this : instance.master_user_secret[0].secret_arn])
}

# For people, and for CI.

output "kubeconfig_command" {
  description = "What lets kubectl, and `manta cluster`, find the cluster. --role-arn is one of role_arns."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.eks.cluster_name} --alias ${var.name}"
}

output "role_arns" {
  description = "Roles of people, of those that anybody may take."
  value       = { for name, role in aws_iam_role.people : name => role.arn }
}

output "ci_role_arn" {
  description = "The repository variable CI_ROLE_ARN of GitHub; null: there is no CI."
  value       = one([for role in aws_iam_role.ci : role.arn])
}

output "grafana_endpoint" {
  description = "Address of Grafana; null: there is none."
  value       = one([for workspace in aws_grafana_workspace.this : "https://${workspace.endpoint}"])
}

# For ../controllers: its variables, whole.

output "controllers" {
  description = "terraform output -json controllers > ../controllers/controllers.auto.tfvars.json"
  value = {
    region              = var.region
    cluster_name        = module.eks.cluster_name
    compute             = var.compute
    vpc_id              = module.vpc.vpc_id
    interruption_queue  = module.karpenter.queue_name
    prometheus_endpoint = aws_prometheus_workspace.this.prometheus_endpoint
  }
}
