# The endpoint and the verbs. Mount a workspace at /workspace.
#   docker build -t lifecycle .
#   docker run -v "$PWD/workspace:/workspace" -e LIFECYCLE_SERVING__API_KEY_SHA256="[$DIGEST]" -p 3000:3000 lifecycle

FROM python:3.12-slim-bookworm AS build
RUN pip install --no-cache-dir 'uv>=0.8' && uv venv /opt/lifecycle
ENV VIRTUAL_ENV=/opt/lifecycle
COPY requirements.lock /src/
RUN uv pip install --no-cache --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY features /src/features
COPY training /src/training
COPY serving /src/serving
COPY pipelines /src/pipelines
RUN uv pip install --no-cache --no-deps /src

FROM python:3.12-slim-bookworm
# LightGBM's wheel needs OpenMP at run time.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 lifecycle \
    && install --directory --owner lifecycle /workspace
COPY --from=build /opt/lifecycle /opt/lifecycle
ENV PATH=/opt/lifecycle/bin:$PATH \
    LIFECYCLE_WORKSPACE=/workspace \
    PYTHONUNBUFFERED=1
USER lifecycle
WORKDIR /home/lifecycle
VOLUME /workspace
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"]
ENTRYPOINT ["lifecycle"]
CMD ["serve", "--host", "0.0.0.0", "--port", "3000"]
