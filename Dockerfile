# The gateway with an external PostgreSQL: GATEWAY_DATABASE=postgresql://… and a config.toml mounted at /etc/gateway.
# Runs as a non-root user and writes nowhere: docker run --read-only --tmpfs /tmp …
# What is installed is a wheel. Build it from a tag, not from a work tree:
#   git archive v0.1.0 | docker build --build-arg BASE=python:3.13-slim@sha256:… -t gateway:0.1.0 -
# A tag can be moved, a digest cannot: CONTRIBUTING.md, Releasing, says where the digest comes from.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-supply.lock ./
# The build tools come with the hashes of a lock of their own; the image that runs does not get them.
RUN python -m venv /tools && \
    /tools/bin/pip install --no-cache-dir --require-hashes -r requirements-supply.lock
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /tools/bin/python -m build --no-isolation --outdir /dist && \
    /venv/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl
# What the image holds, as CycloneDX, and under which licences.
RUN mkdir /doc && cp LICENSE THIRD_PARTY_LICENSES.md /doc/ && \
    /tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /doc/sbom.cdx.json /venv/bin/python

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /venv /venv
COPY --from=build /doc /usr/share/doc/gateway
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/gateway
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ.get('GATEWAY_HEALTH_URL', 'http://127.0.0.1:8080/healthz'), timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/gateway/config.toml"]
