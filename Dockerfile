# docker build -t detect .
# docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" detect predict /data/scene.tif --out /data/out
#
# For a GPU: docker build -t detect-cuda --build-arg DEVICE=cuda .     (then: docker run --gpus all …; some GB more, PyTorch with CUDA)
# A test rehearses these steps where there is no Docker: tests/smoke/test_packages.py
ARG PYTHON=3.12
ARG DEVICE=cpu

FROM python:${PYTHON}-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY detect detect
COPY configs configs
COPY weights weights
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim AS installed
ARG DEVICE
COPY constraints.txt /tmp/
COPY --from=wheel /dist /dist
RUN python -m venv /opt/detect \
    && extras="$(if [ "$DEVICE" = cuda ]; then echo '[gpu]'; fi)" \
    && /opt/detect/bin/pip install --no-cache-dir -c /tmp/constraints.txt "$(echo /dist/*.whl)$extras"

FROM python:${PYTHON}-slim
# Of the system's libraries, the wheels need this one beside what the image has: rasterio's reads XML with it.
RUN apt-get update && apt-get install -y --no-install-recommends libexpat1 && rm -rf /var/lib/apt/lists/*
COPY --from=installed /opt/detect /opt/detect
RUN useradd --create-home detect
ENV PATH=/opt/detect/bin:$PATH PYTHONUNBUFFERED=1
USER detect
WORKDIR /data
ENTRYPOINT ["detect"]
CMD ["--help"]
