# Roles that pods take by EKS Pod Identity: the controllers' own, and those that the rendered profile asks for.

module "ebs_csi_role" {
  source  = "terraform-aws-modules/eks-pod-identity/aws"
  version = "2.8.2"

  create          = !local.is_auto
  name            = "${var.name}-ebs-csi"
  use_name_prefix = false

  attach_aws_ebs_csi_policy = true

  tags = local.tags
}

module "load_balancer_role" {
  source  = "terraform-aws-modules/eks-pod-identity/aws"
  version = "2.8.2"

  create          = !local.is_auto
  name            = "${var.name}-load-balancer"
  use_name_prefix = false

  attach_aws_lb_controller_policy = true

  associations = {
    this = {
      cluster_name    = module.eks.cluster_name
      namespace       = "kube-system"
      service_account = "aws-load-balancer-controller"
    }
  }

  tags = local.tags
}

module "prometheus_role" {
  source  = "terraform-aws-modules/eks-pod-identity/aws"
  version = "2.8.2"

  name            = "${var.name}-prometheus"
  use_name_prefix = false

  attach_amazon_managed_service_prometheus_policy  = true
  amazon_managed_service_prometheus_workspace_arns = [aws_prometheus_workspace.this.arn]

  associations = {
    this = {
      cluster_name    = module.eks.cluster_name
      namespace       = "monitoring"
      service_account = "prometheus"
    }
  }

  tags = local.tags
}

resource "aws_iam_role" "pods" {
  for_each = var.roles

  name               = each.value.role
  assume_role_policy = file("${path.module}/${var.rendered}/iam/${each.key}.trust.json")
}

resource "aws_iam_role_policy" "pods" {
  for_each = var.roles

  name   = each.key
  role   = aws_iam_role.pods[each.key].id
  policy = file("${path.module}/${var.rendered}/iam/${each.key}.policy.json")
}

resource "aws_eks_pod_identity_association" "pods" {
  for_each = var.roles

  cluster_name    = module.eks.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.pods[each.key].arn
}
