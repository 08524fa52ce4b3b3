terraform {
  # 1.11: write-only arguments, by which a password reaches AWS and never the state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.67"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # Filled by `terraform init -backend-config=../environments/NAME.s3.tfbackend`.
  backend "s3" {}
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = local.tags
  }
}

locals {
  tags = merge(var.tags, { "manta.dev/cluster" = var.name, "manta.dev/environment" = var.environment })
}
