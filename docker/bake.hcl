# Which base and which target make which image. Bases come from bases.env:
#
#   set -a; . docker/bases.env; set +a
#   docker buildx bake --file docker/bake.hcl cpu litellm
#
# Images on CPUs are built once on each architecture and joined (.github/workflows/images.yaml); those with devices are
# for x86, where the devices are.

variable "REGISTRY" {
  default = "manta"
}

variable "VERSION" {
  default = "0.1.0"
}

# Of requirements-cluster.lock; it is a part of the tag, for `rayVersion` of a RayService must be the same.
variable "RAY_VERSION" {
  default = "2.60.0"
}

variable "REVISION" {
  default = "unknown"
}

variable "UV_IMAGE" {
  default = ""
}

variable "CPU_BASE" {
  default = ""
  validation {
    condition     = CPU_BASE != ""
    error_message = "The bases are not set: set -a; . docker/bases.env; set +a"
  }
}

variable "VLLM_BASE" {
  default = ""
}

variable "NEURON_BASE" {
  default = ""
}

variable "NEURON_NATIVE_BASE" {
  default = ""
}

group "default" {
  targets = ["cpu", "vllm", "neuron", "litellm"]
}

target "application" {
  context    = "."
  dockerfile = "docker/application.Dockerfile"
  args = {
    UV_IMAGE = UV_IMAGE
    VERSION  = VERSION
    REVISION = REVISION
  }
}

target "cpu" {
  inherits = ["application"]
  target   = "cpu"
  args     = { BASE = CPU_BASE }
  tags     = ["${REGISTRY}/manta-cpu:${VERSION}-ray${RAY_VERSION}"]
}

target "vllm" {
  inherits = ["application"]
  target   = "device"
  args     = { BASE = VLLM_BASE, VLLM_VERSION = "0.32.0" }
  tags     = ["${REGISTRY}/manta-vllm:${VERSION}-ray${RAY_VERSION}"]
}

# Inf2, Trn1, Trn2.
target "neuron" {
  inherits = ["application"]
  target   = "device"
  args     = { BASE = NEURON_BASE, VLLM_VERSION = "0.13." }
  tags     = ["${REGISTRY}/manta-neuron:${VERSION}-ray${RAY_VERSION}"]
}

# Trn2 with AWS's newer plugin; see docs/neuron.md.
target "neuron-native" {
  inherits = ["application"]
  target   = "device"
  args     = { BASE = NEURON_NATIVE_BASE, VLLM_VERSION = "0.24." }
  tags     = ["${REGISTRY}/manta-neuron:${VERSION}-ray${RAY_VERSION}-native"]
}

target "litellm" {
  context    = "."
  dockerfile = "docker/litellm.Dockerfile"
  target     = "litellm"
  args = {
    BASE     = CPU_BASE
    UV_IMAGE = UV_IMAGE
    VERSION  = VERSION
    REVISION = REVISION
  }
  tags = ["${REGISTRY}/manta-litellm:${VERSION}-ray${RAY_VERSION}"]
}
