# What ../cluster knows: terraform -chdir=../cluster output -json controllers > controllers.auto.tfvars.json

variable "region" {
  description = "AWS region."
  type        = string
}

variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "compute" {
  description = "`karpenter` or `auto-mode`, which brings Karpenter, the load balancer's controller and device plugins."
  type        = string
}

variable "vpc_id" {
  description = "The cluster's VPC, for the load balancer's controller."
  type        = string
}

variable "interruption_queue" {
  description = "Name of the queue with AWS's notices for Karpenter; null in Auto Mode."
  type        = string
  nullable    = true
}

variable "prometheus_endpoint" {
  description = "Address of the managed Prometheus workspace, with a slash at its end."
  type        = string
}

# What the profile has: `parts` and `pools`.

variable "keda" {
  description = "Whether the profile renders ScaledObjects (parts.keda)."
  type        = bool
  default     = false
}

variable "opensearch_operator" {
  description = "Whether OpenSearch runs in the cluster (parts.opensearch)."
  type        = bool
  default     = false
}

variable "gpu" {
  description = "Whether there are nodes with NVIDIA GPUs (pools.gpu) that are not Bottlerocket's, which has the plugin."
  type        = bool
  default     = false
}

variable "neuron" {
  description = "Whether there are nodes with NeuronCores (pools.neuron)."
  type        = bool
  default     = false
}
