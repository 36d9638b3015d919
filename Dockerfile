# One image for all components and for the sidecar; the argument says which: `docker run IMAGE activator --help`.
# Without an argument it is the sidecar, since pods of revisions give none.
#
#   docker build -t REGISTRY/upwell:0.1.0 .                              plain Python
#   docker build --build-arg UPWELL_COMPILE=1 -t REGISTRY/upwell:0.1.0 .    the path of a request compiled by mypyc

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ARG UPWELL_COMPILE=0
RUN if [ "${UPWELL_COMPILE}" != 0 ]; then \
      apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; \
    fi
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY activator activator
COPY autoscaler autoscaler
COPY controller controller
COPY gateway gateway
COPY queueproxy queueproxy
COPY upwell upwell
RUN UPWELL_COMPILE=${UPWELL_COMPILE} pip wheel --no-cache-dir --wheel-dir /wheels ".[tracing]"
RUN pip install --no-cache-dir --no-index --no-deps --no-compile --prefix /install /wheels/*.whl

FROM python:${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="upwell" \
      org.opencontainers.image.description="Serverless HTTP services that scale from zero, with Knative's API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /install /usr/local
# A start of the sidecar is part of a cold start. The base image comes without bytecode, even of Python's own library,
# and a read-only file system never gets any; so it is all made here, to be used without a look at the sources.
RUN pip uninstall --yes --quiet pip \
 && rm -rf /usr/local/lib/python3*/ensurepip \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(idlelib|test|tests|turtledemo)/' \
    /usr/local/lib/python3*
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
# A number, so that the kubelet can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["python", "-P", "-m"]
CMD ["queueproxy"]
