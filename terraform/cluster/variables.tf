# What the profile says: `manta cluster render` writes these into terraform.tfvars.json, beside the objects.

variable "name" {
  description = "Name of the EKS cluster, and the beginning of most other names."
  type        = string
}

variable "account_id" {
  description = "AWS account. Terraform stops before it does anything in another one."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "zones" {
  description = "Letters of the availability zones, three or more: pods and stores are spread over them."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 3
    error_message = "At least three zones: two that fail together are two too many."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, /16. Pods have addresses of it, and the rules of the network know it."
  type        = string

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "A /16, as 10.40.0.0/16: the subnets are cut out of it by their place."
  }
}

variable "service_cidr" {
  description = "Addresses of Kubernetes Services; the rules of the network know them too."
  type        = string
}

variable "compute" {
  description = "Who buys nodes: `karpenter`, in the cluster, or `auto-mode`, which EKS runs."
  type        = string

  validation {
    condition     = contains(["karpenter", "auto-mode"], var.compute)
    error_message = "There are karpenter and auto-mode."
  }
}

variable "secrets" {
  description = "Names of the secrets in AWS Secrets Manager that pods read. They are made empty; a person fills them."
  type        = list(string)
}

variable "redis_secret" {
  description = "Which of them gets the password of Redis, and under which key of its JSON; null: Redis has no password."
  type = object({
    name     = string
    property = optional(string)
  })
  nullable = true
}

variable "roles" {
  description = "Roles of pods, by the name of their documents in `rendered`/iam: who takes them, and what they are called."
  type = map(object({
    role            = string
    namespace       = string
    service_account = string
  }))
}

variable "buckets" {
  description = "Buckets that the profile names: weights, documents, what Neuron has compiled."
  type        = set(string)
}

variable "rendered" {
  description = "Folder of the rendered profile, relative to this one: its iam/ has the documents of the roles."
  type        = string
}

# What the environment says: ../environments/NAME.tfvars.

variable "environment" {
  description = "Name of the environment (dev, prod), for the tag of everything."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes. The rendered objects are checked against 1.36's API."
  type        = string
  default     = "1.36"
}

variable "nat_gateways" {
  description = "`one` for all zones, cheaper; or `one-per-zone`, which outlives a zone."
  type        = string

  validation {
    condition     = contains(["one", "one-per-zone"], var.nat_gateways)
    error_message = "There are one and one-per-zone."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached inside the VPC. Each costs by the hour and zone; S3's endpoint is always there and free."
  type        = set(string)
}

variable "api_cidrs" {
  description = "Addresses from which the Kubernetes API can be reached from outside; empty: from the VPC only."
  type        = list(string)

  validation {
    condition     = !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "Name the addresses that need it; an empty list closes the API to the outside."
  }
}

variable "deletion_protection" {
  description = "Whether cluster and stores refuse to be deleted, and buckets and repositories that are not empty do."
  type        = bool
}

variable "admin_principals" {
  description = "ARNs of who may become the cluster's administrator."
  type        = list(string)
}

variable "operator_principals" {
  description = "ARNs of who may run the application: apply, roll back, look at logs, no Secrets."
  type        = list(string)
}

variable "viewer_principals" {
  description = "ARNs of who may look."
  type        = list(string)
}

variable "github_repository" {
  description = "OWNER/NAME whose version tags push images; null: no role for CI."
  type        = string
  nullable    = true
}

variable "github_oidc_provider_arn" {
  description = "The account's identity provider of GitHub Actions, of which there can be one; null: it is made here."
  type        = string
  nullable    = true
}

variable "existing_buckets" {
  description = "Those of the profile's buckets that are there already, and are somebody else's to keep."
  type        = set(string)
  default     = []
}

variable "redis_node_type" {
  description = "Node type of ElastiCache, for Ray's state, the door's counters and sessions."
  type        = string
}

variable "opensearch" {
  description = "An OpenSearch domain for the knowledge base; null: none (embedded, or in the cluster)."
  type = object({
    instance_type  = string
    instance_count = number
    disk_gib       = number
  })
  nullable = true
}

variable "postgres" {
  description = "A Postgres for LiteLLM's virtual keys and budgets; null: none."
  type = object({
    instance_class = string
    disk_gib       = number
  })
  nullable = true
}

variable "grafana" {
  description = "Whether there is an Amazon Managed Grafana. It needs IAM Identity Center in the account's organization."
  type        = bool
}

variable "budget_usd_per_month" {
  description = "The account's budget: mail at 80 % of what was spent, and at 100 % of what is forecast."
  type        = number
}

variable "budget_emails" {
  description = "Who is told."
  type        = list(string)

  validation {
    condition     = length(var.budget_emails) > 0
    error_message = "A budget that tells nobody is none."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
