locals {
  zones = [for letter in var.zones : "${var.region}${letter}"]
}

# A zone has 4,096 addresses for nodes and pods, 256 for load balancers, and 256 for the control plane and the stores,
# which need no way out.
module "vpc" {
  source  = "terraform-aws-modules/vpc/aws"
  version = "6.7.3"

  name = var.name
  cidr = var.vpc_cidr
  azs  = local.zones

  private_subnets = [for index, _ in local.zones : cidrsubnet(var.vpc_cidr, 4, index)]
  public_subnets  = [for index, _ in local.zones : cidrsubnet(var.vpc_cidr, 8, 224 + index)]
  intra_subnets   = [for index, _ in local.zones : cidrsubnet(var.vpc_cidr, 8, 240 + index)]

  enable_nat_gateway     = true
  single_nat_gateway     = var.nat_gateways == "one"
  one_nat_gateway_per_az = var.nat_gateways == "one-per-zone"

  public_subnet_tags  = { "kubernetes.io/role/elb" = "1" }
  private_subnet_tags = merge(local.discovery, { "kubernetes.io/role/internal-elb" = "1" })

  tags = local.tags
}

# Weights and images come from S3, through its gateway: past the NAT gateways, which count every byte.
module "endpoints" {
  source  = "terraform-aws-modules/vpc/aws//modules/vpc-endpoints"
  version = "6.7.3"

  vpc_id             = module.vpc.vpc_id
  subnet_ids         = module.vpc.private_subnets
  security_group_ids = [aws_security_group.endpoints.id]

  endpoints = merge(
    {
      s3 = {
        service         = "s3"
        service_type    = "Gateway"
        route_table_ids = concat(module.vpc.private_route_table_ids, module.vpc.intra_route_table_ids)
      }
    },
    { for service in var.interface_endpoints : service => { service = service, private_dns_enabled = true } },
  )

  tags = local.tags
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "AWS services inside the VPC"
  vpc_id      = module.vpc.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from the VPC"
  cidr_ipv4         = module.vpc.vpc_cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
