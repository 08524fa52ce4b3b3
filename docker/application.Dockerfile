# The application: on CPUs, and beside vLLM for GPUs or NeuronCores. docker/bake.hcl says which base makes which image:
#
#   docker buildx bake --file docker/bake.hcl cpu
#
# Every node of a Ray cluster must have the same Ray and the same Python, down to its patch version, so that both are
# the same in all images: Python by its number here, Ray by requirements-cluster.lock. What vLLM runs on comes from its
# vendor's image and stays apart, behind an interpreter of its own.
ARG BASE=docker.io/library/debian:trixie-slim
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.8

FROM ${UV_IMAGE} AS uv

# On the image's own base: what is compiled here finds the same libc there.
FROM ${BASE} AS libraries
USER 0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ \
    && rm -rf /var/lib/apt/lists/*
COPY --from=uv /uv /usr/local/bin/uv
ARG PYTHON_VERSION=3.11.18
ENV UV_PYTHON_INSTALL_DIR=/opt/manta-python \
    UV_PYTHON_PREFERENCE=only-managed \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
# No cache of uv's: it would give a llama.cpp that was compiled for another level. What Python's checksum is, uv knows.
RUN uv python install "${PYTHON_VERSION}" && uv venv --python "${PYTHON_VERSION}" /opt/manta
# Which processors llama.cpp is compiled for: docker/llama_cpp_flags.sh has the list. Never this machine's own.
ARG TARGETARCH
ARG CPU_LEVEL=default
COPY docker/llama_cpp_flags.sh requirements-cluster.lock requirements-build.lock /build/
RUN CMAKE_ARGS="$(/build/llama_cpp_flags.sh "${TARGETARCH}" "${CPU_LEVEL}")" \
    && export CMAKE_ARGS \
    && uv pip install --python /opt/manta/bin/python --require-hashes \
        --build-constraints /build/requirements-build.lock --requirements /build/requirements-cluster.lock

# Where it will be, so that the editable installation finds it.
FROM libraries AS source
COPY LICENSE pyproject.toml README.md /app/
COPY configs /app/configs
COPY serve_app /app/serve_app
COPY cluster /app/cluster
COPY kuberay /app/kuberay
COPY benchmarks /app/benchmarks
COPY manta /app/manta
RUN uv pip install --python /opt/manta/bin/python --no-deps \
        --build-constraints /build/requirements-build.lock --editable /app \
    && /opt/manta/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE} AS runtime
USER 0
# libgomp1: llama.cpp's threads. wget: KubeRay's readiness probe of a pod that serves calls it
# (ray-operator/controllers/ray/common/pod.go, KubeRay 1.7).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash ca-certificates libgomp1 wget \
    && rm -rf /var/lib/apt/lists/*
# An account without a password for programs that ask who they are; no file of the image is its own but the folder for
# data, where a volume is mounted.
RUN echo 'manta:x:10001:10001:Manta:/var/lib/manta:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'manta:x:10001:' >> /etc/group \
    && install --directory --owner=10001 --group=10001 /var/lib/manta
COPY --from=libraries /opt/manta-python /opt/manta-python
COPY --from=source /opt/manta /opt/manta
COPY --from=source /app /app
# Also where a login shell has forgotten PATH, as KubeRay's may.
RUN ln -s /opt/manta/bin/manta /opt/manta/bin/ray /opt/manta/bin/serve /usr/local/bin/
ENV PATH=/opt/manta/bin:${PATH} \
    HOME=/var/lib/manta \
    MANTA_HOME=/var/lib/manta \
    USER=manta \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
WORKDIR /app
# Relative paths of a profile count from here. Writable are /var/lib/manta, /tmp and /dev/shm; the rest may be read-only.
EXPOSE 8000
# KubeRay says what a pod runs and how it is probed. A vendor's entry point and health check would be about its server.
ENTRYPOINT []
CMD ["manta", "--help"]
HEALTHCHECK NONE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Manta" \
      org.opencontainers.image.description="One Ray Serve application that serves models and answers questions." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The vendor's interpreter under one name, with the vendor's own search paths: Manta's are in front by now, and libraries
# of the one must not reach the other.
FROM ${BASE} AS interpreter
USER 0
ARG VLLM_VERSION
RUN mkdir -p /opt/vllm/bin \
    && printf '#!/bin/sh\nexport PATH="%s" LD_LIBRARY_PATH="%s"\nexec %s "$@"\n' \
        "${PATH}" "${LD_LIBRARY_PATH:-}" "$(command -v python3)" > /opt/vllm/bin/python \
    && chmod 0755 /opt/vllm/bin/python \
    && found="$(/opt/vllm/bin/python -c 'import importlib.metadata as m; print(m.version("vllm"))')" \
    && case "${found}" in "${VLLM_VERSION:?}"*) ;; *) echo "the base has vLLM ${found}, not ${VLLM_VERSION}" >&2; exit 1 ;; esac

FROM runtime AS device
# Where a profile's `python` looks if it says nothing else: .venv-vllm/bin/python in Manta's own folder.
COPY --from=interpreter /opt/vllm /app/.venv-vllm
ENV LD_LIBRARY_PATH=
USER 10001:10001

FROM runtime AS cpu
USER 10001:10001
