# LiteLLM's proxy with our hooks, in an environment of its own: it and the agents' library want different versions of
# the same packages. Its configuration is mounted, and CONFIG_FILE_PATH names it; secrets are environment variables.
ARG BASE=docker.io/library/debian:trixie-slim
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.8

FROM ${UV_IMAGE} AS uv

# What both stages need: Prisma's engine asks `openssl` which one it finds, and its command line runs on Node.
FROM ${BASE} AS system
USER 0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates nodejs openssl \
    && rm -rf /var/lib/apt/lists/*
ENV PRISMA_HOME_DIR=/opt/prisma \
    PATH=/opt/litellm/bin:${PATH}

FROM system AS libraries
RUN apt-get update \
    && apt-get install --yes --no-install-recommends npm \
    && rm -rf /var/lib/apt/lists/*
COPY --from=uv /uv /usr/local/bin/uv
ARG PYTHON_VERSION=3.11.18
ENV UV_PYTHON_INSTALL_DIR=/opt/litellm-python \
    UV_PYTHON_PREFERENCE=only-managed \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN uv python install "${PYTHON_VERSION}" && uv venv --python "${PYTHON_VERSION}" /opt/litellm
COPY requirements-gateway.lock /build/
RUN uv pip install --python /opt/litellm/bin/python --require-hashes --requirements /build/requirements-gateway.lock
# LiteLLM's tables become Prisma's client, which fetches its engine here once, and never in a pod.
RUN prisma generate --schema=/opt/litellm/lib/python3.11/site-packages/litellm/proxy/schema.prisma

FROM system AS litellm
RUN echo 'litellm:x:10001:10001:LiteLLM:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'litellm:x:10001:' >> /etc/group
COPY --from=libraries /opt/litellm-python /opt/litellm-python
COPY --from=libraries /opt/prisma /opt/prisma
COPY --from=libraries /opt/litellm /opt/litellm
# The hooks, and nothing else of ours: they know only LiteLLM.
COPY cluster/__init__.py /app/cluster/
COPY cluster/litellm/__init__.py cluster/litellm/headers.py cluster/litellm/proxy.py /app/cluster/litellm/
ENV HOME=/tmp \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONUNBUFFERED=1 \
    CONFIG_FILE_PATH=/etc/litellm/config.yaml \
    LITELLM_LOCAL_MODEL_COST_MAP=True \
    LITELLM_MIGRATION_DIR=/tmp/litellm-migrations \
    LITELLM_MODE=PRODUCTION
WORKDIR /app
EXPOSE 4000
# Kubernetes has probes of its own; this one is for whoever runs the image without it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:4000/health/liveliness', timeout=4)"]
ENTRYPOINT ["python", "-m", "uvicorn", "cluster.litellm.proxy:app"]
CMD ["--host", "0.0.0.0", "--port", "4000", "--log-level", "warning"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LiteLLM for Manta" \
      org.opencontainers.image.description="LiteLLM's proxy with the hooks by which Manta knows who asks." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
