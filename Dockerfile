# The endpoint, the verbs and the tracking server: one image, three commands (see compose.yaml).
#   docker build -t lifecycle:0.1.0 .
# Mount a workspace at /workspace; everything else may be read-only but /tmp.

FROM python:3.12.11-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /opt/lifecycle
ENV VIRTUAL_ENV=/opt/lifecycle
COPY requirements.lock /src/
RUN uv pip install --no-cache --compile-bytecode --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY features /src/features
COPY training /src/training
COPY serving /src/serving
COPY pipelines /src/pipelines
RUN uv pip install --no-cache --compile-bytecode --no-deps /src

FROM python:3.12.11-slim-bookworm
# LightGBM's wheel needs OpenMP at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-create-home --uid 10001 lifecycle \
    && install --directory --owner lifecycle --group lifecycle /workspace /artifacts /backups
COPY --from=build /opt/lifecycle /opt/lifecycle
# Libraries keep their settings and caches in HOME, which is of no worth here.
ENV PATH=/opt/lifecycle/bin:$PATH \
    HOME=/tmp \
    LIFECYCLE_WORKSPACE=/workspace \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
VOLUME /workspace
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"]
ENTRYPOINT ["lifecycle"]
CMD ["serve", "--host", "0.0.0.0", "--port", "3000"]
