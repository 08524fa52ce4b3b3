# Who may do what: the administrator, the operator, the viewer, and CI. What operators and viewers may inside the cluster
# is said by the rendered RBAC roles; here they get the groups that those are bound to.

locals {
  people = {
    admin    = var.admin_principals
    operator = var.operator_principals
    viewer   = var.viewer_principals
  }
  has_ci   = var.github_repository != null
  oidc_arn = var.github_oidc_provider_arn != null ? var.github_oidc_provider_arn : one(aws_iam_openid_connect_provider.github[*].arn)

  # cluster/render/access.py binds them.
  groups = {
    admin    = tolist([])
    operator = tolist(["manta:operators"])
    viewer   = tolist(["manta:viewers"])
  }
  everything = {
    cluster = {
      policy_arn   = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
      access_scope = { type = "cluster" }
    }
  }

  access_entries = merge(
    { for name, role in aws_iam_role.people : name => {
      principal_arn       = role.arn
      kubernetes_groups   = local.groups[name]
      policy_associations = { for scope, association in local.everything : scope => association if name == "admin" }
    } },
    { for name, role in aws_iam_role.ci : name => {
      principal_arn       = role.arn
      kubernetes_groups   = local.groups.viewer
      policy_associations = {}
    } },
  )
}

data "aws_iam_policy_document" "people_trust" {
  for_each = { for name, principals in local.people : name => principals if length(principals) > 0 }

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = each.value
    }
  }
}

resource "aws_iam_role" "people" {
  for_each = data.aws_iam_policy_document.people_trust

  name                 = "${var.name}-${each.key}"
  description          = "The ${each.key} of the cluster ${var.name}"
  assume_role_policy   = each.value.json
  max_session_duration = 4 * 3600
}

resource "aws_iam_role_policy" "people" {
  for_each = aws_iam_role.people

  name   = "look"
  role   = each.value.id
  policy = data.aws_iam_policy_document.look.json
}

# For `aws eks update-kubeconfig`, and for `manta cluster preflight`, which reads, and of secrets only that they exist.
data "aws_iam_policy_document" "look" {
  statement {
    sid       = "FindTheCluster"
    actions   = ["eks:DescribeCluster"]
    resources = ["arn:aws:eks:${var.region}:${var.account_id}:cluster/${var.name}"]
  }

  dynamic "statement" {
    for_each = length(var.secrets) > 0 ? ["FindSecrets"] : []

    content {
      sid       = statement.value
      actions   = ["secretsmanager:DescribeSecret"]
      resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
    }
  }

  statement {
    sid       = "FindCertificates"
    actions   = ["acm:DescribeCertificate"]
    resources = ["arn:aws:acm:${var.region}:${var.account_id}:certificate/*"]
  }

  statement {
    sid       = "Preflight"
    actions   = local.preflight_actions
    resources = ["*"]
  }

  statement {
    sid       = "FindImages"
    actions   = ["ecr:BatchGetImage", "ecr:DescribeImages"]
    resources = [for repository in module.images : repository.repository_arn]
  }
}

# None of these can be limited to a resource.
locals {
  preflight_actions = [
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstances",
    "ecr:GetAuthorizationToken",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
  ]
}

# CI: GitHub proves which repository and which tag asks; there is no key to keep.

resource "aws_iam_openid_connect_provider" "github" {
  count = local.has_ci && var.github_oidc_provider_arn == null ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "ci_trust" {
  for_each = toset(local.has_ci ? ["ci"] : [])

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [local.oidc_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${var.github_repository}:ref:refs/tags/v*"]
    }
  }
}

resource "aws_iam_role" "ci" {
  for_each = data.aws_iam_policy_document.ci_trust

  name               = "${var.name}-ci"
  description        = "Version tags of ${var.github_repository}: push images, look at the cluster ${var.name}"
  assume_role_policy = each.value.json
}

data "aws_iam_policy_document" "ci" {
  source_policy_documents = [data.aws_iam_policy_document.look.json]

  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:CompleteLayerUpload",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [for repository in module.images : repository.repository_arn]
  }
}

resource "aws_iam_role_policy" "ci" {
  for_each = aws_iam_role.ci

  name   = "push-images"
  role   = each.value.id
  policy = data.aws_iam_policy_document.ci.json
}
