# docker build -t mlserve . && docker run --rm -p 8086:8086 mlserve
#
# Serves the example models until a configuration of your own stands in their place:
#   docker run --rm -p 8086:8086 -v "$PWD/my-models:/etc/mlserve:ro" mlserve

FROM python:3.13-slim-bookworm AS build
RUN python -m venv /opt/mlserve
ENV PATH=/opt/mlserve/bin:$PATH
WORKDIR /src
# Dependencies first: this layer, the large one, is made again only when the lock changes.
COPY requirements/all.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/all.txt
COPY pyproject.toml README.md LICENSE ./
COPY mlserve mlserve
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home mlserve
COPY --from=build /opt/mlserve /opt/mlserve
COPY config.example.yaml /etc/mlserve/config.yaml
COPY examples /etc/mlserve/examples
# ONNX Runtime reports to its makers unless told not to.
ENV PATH=/opt/mlserve/bin:$PATH PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001
EXPOSE 8086
# Whether the process lives; readiness, which loading a model may delay, is /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8086/healthz', timeout=2)"]
ENTRYPOINT ["mlserve", "-c", "/etc/mlserve/config.yaml"]
CMD ["--host", "0.0.0.0", "--port", "8086"]
