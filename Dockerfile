# docker build -t mlserve . && docker run --rm -p 8086:8086 mlserve
#
# Serves the example models until a configuration of your own stands in their place:
#   docker run --rm -p 8086:8086 -v "$PWD/my-models:/etc/mlserve:ro" mlserve
# Other commands, and options of your own, come after the image's name:
#   docker run --rm mlserve check -c /etc/mlserve/config.yaml
#
# Read-only and without rights, as deploy/kubernetes.yaml runs it:
#   docker run --rm -p 8086:8086 --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges mlserve

# For a build that nothing changes, name the base by its digest: --build-arg PYTHON=3.13-slim-bookworm@sha256:...
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/mlserve
ENV PATH=/opt/mlserve/bin:$PATH
WORKDIR /src
# Dependencies first: this layer, the large one, is made again only when the lock changes.
COPY requirements/all.txt requirements/
# TensorFlow's C++ headers, a quarter of its size, are for those who compile against it.
RUN pip install --no-cache-dir --require-hashes -r requirements/all.txt \
    && rm -rf /opt/mlserve/lib/python3.*/site-packages/tensorflow/include
COPY pyproject.toml README.md LICENSE ./
COPY mlserve mlserve
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:${PYTHON}
# By number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 mlserve \
    && useradd --uid 10001 --gid mlserve --no-create-home --no-log-init --shell /usr/sbin/nologin mlserve
COPY --from=build /opt/mlserve /opt/mlserve
COPY config.example.yaml /etc/mlserve/config.yaml
COPY examples /etc/mlserve/examples
# ONNX Runtime reports to its makers unless told not to. The example keeps answers in a folder that it may write to.
ENV PATH=/opt/mlserve/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1 \
    MLSERVE_CACHE=/tmp/mlserve-cache
USER 10001:10001
WORKDIR /etc/mlserve
EXPOSE 8086
# Whether the process lives; readiness, which loading a model may delay, is /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8086/healthz', timeout=2)"]
ENTRYPOINT ["mlserve"]
CMD ["-c", "/etc/mlserve/config.yaml", "--host", "0.0.0.0", "--port", "8086"]
