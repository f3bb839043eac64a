# docker build -t detect .
# docker run --rm -v "$PWD:/data" detect predict /data/scene.tif --out /data/out
#
# With PyTorch, to predict on a GPU (--gpus all) or to train: --build-arg EXTRAS=[gpu] or --build-arg EXTRAS=[train]
FROM python:3.12-slim

ARG EXTRAS=""

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY detect detect
COPY configs configs
COPY weights weights
RUN pip install --no-cache-dir -c constraints.txt ".${EXTRAS}" && rm -rf /src/*

RUN useradd --create-home detect
USER detect
WORKDIR /data

ENTRYPOINT ["detect"]
CMD ["--help"]
