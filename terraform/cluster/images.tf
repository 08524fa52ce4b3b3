# Where CI pushes (.github/workflows/images.yaml), and nodes pull from. A tag that exists stays what it is.
module "images" {
  for_each = toset(["manta-cpu", "manta-vllm", "manta-neuron", "manta-litellm", "otel/collector-contrib"])

  source  = "terraform-aws-modules/ecr/aws"
  version = "3.2.0"

  repository_name                 = each.key
  repository_image_tag_mutability = "IMMUTABLE"
  repository_image_scan_on_push   = true
  repository_force_delete         = !var.deletion_protection

  # Of tagged ones only: an image without a tag is one architecture of one that has a tag.
  repository_lifecycle_policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keep the last 30 versions"
      selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = 30 }
      action       = { type = "expire" }
    }]
  })

  tags = local.tags
}
