locals {
  is_auto   = var.compute == "auto-mode"
  discovery = { "karpenter.sh/discovery" = var.name }
  node_role = "${var.name}-node"

  # EKS Auto Mode has all but the last of its own, and minds a second one.
  addons = {
    vpc-cni = {
      before_compute       = true
      configuration_values = jsonencode({ enableNetworkPolicy = "true" })
    }
    eks-pod-identity-agent = { before_compute = true }
    kube-proxy             = {}
    coredns                = {}
    aws-ebs-csi-driver = {
      pod_identity_association = [{
        role_arn        = module.ebs_csi_role.iam_role_arn
        service_account = "ebs-csi-controller-sa"
      }]
    }
    metrics-server = {}
  }

  # Karpenter cannot run on nodes that it has yet to buy.
  node_groups = {
    controllers = {
      ami_type       = "AL2023_ARM_64_STANDARD"
      instance_types = ["m7g.xlarge", "m8g.xlarge", "m6g.xlarge"]
      min_size       = 2
      desired_size   = 2
      max_size       = 3
      labels         = { "manta.dev/role" = "controllers" }
    }
  }
}

module "eks" {
  source  = "terraform-aws-modules/eks/aws"
  version = "21.26.0"

  name                = var.name
  kubernetes_version  = var.kubernetes_version
  deletion_protection = var.deletion_protection

  vpc_id                   = module.vpc.vpc_id
  subnet_ids               = module.vpc.private_subnets
  control_plane_subnet_ids = module.vpc.intra_subnets
  service_ipv4_cidr        = var.service_cidr

  endpoint_private_access      = true
  endpoint_public_access       = length(var.api_cidrs) > 0
  endpoint_public_access_cidrs = var.api_cidrs

  enabled_log_types                      = ["api", "audit", "authenticator"]
  cloudwatch_log_group_retention_in_days = 30

  authentication_mode = "API"
  access_entries      = local.access_entries
  # Whoever applies this may also install what ../controllers has.
  enable_cluster_creator_admin_permissions = true

  addons = { for name, addon in local.addons : name => addon if !local.is_auto || name == "metrics-server" }

  # Auto Mode: a pool of its own for the controllers; the others are rendered.
  create_auto_mode_iam_resources = local.is_auto
  compute_config                 = local.is_auto ? { enabled = true, node_pools = ["general-purpose"] } : null

  eks_managed_node_groups = { for name, group in local.node_groups : name => group if !local.is_auto }

  # By this tag the rendered node classes find the nodes' security group, and by its name their role.
  node_security_group_tags      = { for key, value in local.discovery : key => value if !local.is_auto }
  cluster_tags                  = { for key, value in local.discovery : key => value if local.is_auto }
  node_iam_role_name            = local.node_role
  node_iam_role_use_name_prefix = false

  tags = local.tags
}

# Karpenter's role, that of the nodes it buys, and the queue that tells it which spot instances AWS wants back.
module "karpenter" {
  source  = "terraform-aws-modules/eks/aws//modules/karpenter"
  version = "21.26.0"

  create = !local.is_auto

  cluster_name    = module.eks.cluster_name
  namespace       = "kube-system"
  service_account = "karpenter"

  node_iam_role_name            = local.node_role
  node_iam_role_use_name_prefix = false
  node_iam_role_additional_policies = {
    AmazonSSMManagedInstanceCore = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
  }

  tags = local.tags
}
