# The operators that the rendered objects speak to. The versions of KubeRay, Karpenter, KEDA and OpenSearch's operator are
# those whose CRDs the objects are checked against.

locals {
  is_auto = var.compute == "auto-mode"
}

resource "helm_release" "karpenter" {
  count = local.is_auto ? 0 : 1

  name       = "karpenter"
  namespace  = "kube-system"
  repository = "oci://public.ecr.aws/karpenter"
  chart      = "karpenter"
  version    = "1.14.1"

  values = [yamlencode({
    settings = {
      clusterName       = var.cluster_name
      interruptionQueue = var.interruption_queue
    }
    nodeSelector = { "manta.dev/role" = "controllers" }
  })]
}

resource "helm_release" "load_balancer_controller" {
  count = local.is_auto ? 0 : 1

  name       = "aws-load-balancer-controller"
  namespace  = "kube-system"
  repository = "https://aws.github.io/eks-charts"
  chart      = "aws-load-balancer-controller"
  version    = "3.6.0"

  values = [yamlencode({
    clusterName    = var.cluster_name
    region         = var.region
    vpcId          = var.vpc_id
    serviceAccount = { name = "aws-load-balancer-controller" }
  })]
}

resource "helm_release" "external_secrets" {
  name             = "external-secrets"
  namespace        = "external-secrets"
  create_namespace = true
  repository       = "https://charts.external-secrets.io"
  chart            = "external-secrets"
  version          = "2.11.0"

  values = [yamlencode({
    serviceAccount = { name = "external-secrets" }
  })]
}

resource "helm_release" "kuberay" {
  name             = "kuberay-operator"
  namespace        = "kuberay-system"
  create_namespace = true
  repository       = "https://ray-project.github.io/kuberay-helm"
  chart            = "kuberay-operator"
  version          = "1.7.0"
}

# The operator of Prometheus with one that finds every monitor in the cluster and writes on to the managed workspace, a
# Grafana that shows the rendered dashboards, and an Alertmanager that tells nobody until somebody says whom.
resource "helm_release" "prometheus" {
  name             = "kube-prometheus-stack"
  namespace        = "monitoring"
  create_namespace = true
  repository       = "https://prometheus-community.github.io/helm-charts"
  chart            = "kube-prometheus-stack"
  version          = "91.8.1"

  values = [yamlencode({
    grafana = {
      # The chart's own is the same everywhere; without one it makes one.
      adminPassword = null
      sidecar = {
        dashboards = {
          folderAnnotation = "grafana_folder"
          provider         = { foldersFromFilesStructure = true }
        }
      }
    }
    prometheus = {
      serviceAccount = { create = true, name = "prometheus" }
      prometheusSpec = {
        podMonitorSelectorNilUsesHelmValues     = false
        serviceMonitorSelectorNilUsesHelmValues = false
        ruleSelectorNilUsesHelmValues           = false
        retention                               = "6h"
        remoteWrite = [{
          url   = "${var.prometheus_endpoint}api/v1/remote_write"
          sigv4 = { region = var.region }
        }]
      }
    }
  })]
}

resource "helm_release" "keda" {
  count = var.keda ? 1 : 0

  name             = "keda"
  namespace        = "keda"
  create_namespace = true
  repository       = "https://kedacore.github.io/charts"
  chart            = "keda"
  version          = "2.20.2"
}

resource "helm_release" "opensearch" {
  count = var.opensearch_operator ? 1 : 0

  name             = "opensearch-operator"
  namespace        = "opensearch-operator-system"
  create_namespace = true
  repository       = "https://opensearch-project.github.io/opensearch-k8s-operator"
  chart            = "opensearch-operator"
  version          = "3.0.2"

  # With its webhooks the chart needs cert-manager, and takes no role before its cluster is there.
  values = [yamlencode({ webhook = { enabled = false } })]
}

# They tell the kubelet of devices. Auto Mode's nodes know already, and so do Bottlerocket's with GPUs.

resource "helm_release" "nvidia" {
  count = var.gpu && !local.is_auto ? 1 : 0

  name       = "nvidia-device-plugin"
  namespace  = "kube-system"
  repository = "https://nvidia.github.io/k8s-device-plugin"
  chart      = "nvidia-device-plugin"
  version    = "0.18.2"

  values = [yamlencode({
    # The chart would wait for a label that another chart puts on nodes; these have one that says the same.
    affinity     = null
    nodeSelector = { "manta.dev/role" = "gpu" }
    tolerations = [
      { key = "nvidia.com/gpu", operator = "Exists" },
      { key = "manta.dev/role", operator = "Exists" },
    ]
  })]
}

resource "helm_release" "neuron" {
  count = var.neuron && !local.is_auto ? 1 : 0

  name       = "neuron"
  namespace  = "kube-system"
  repository = "oci://public.ecr.aws/neuron"
  chart      = "neuron-helm-chart"
  version    = "1.10.0"

  values = [yamlencode({
    # Monitors of nodes that Karpenter replaces anyway.
    npd = { enabled = false }
  })]
}
