# One image for the three processes; docker-compose.yml starts them one a container.
# For an NVIDIA GPU: docker build --build-arg CUDA=1 .
FROM python:3.11-slim AS build
ARG CUDA
# Whoever runs the image cannot write bytecode beside the packages: each process would compile them anew.
ENV VIRTUAL_ENV=/opt/spinscope UV_COMPILE_BYTECODE=1
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.8 && uv venv "$VIRTUAL_ENV"
COPY pyproject.toml requirements.lock requirements-cuda.lock ./
RUN uv pip install --no-cache -r pyproject.toml --extra dmrg ${CUDA:+--extra cuda} -c requirements${CUDA:+-cuda}.lock
COPY README.md LICENSE ./
COPY data data
COPY nqs_core nqs_core
COPY backend backend
COPY frontend frontend
RUN uv pip install --no-cache --no-deps --build-constraints requirements.lock .

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 spinscope && install -d -o spinscope /data
COPY --from=build /opt/spinscope /opt/spinscope
ENV PATH=/opt/spinscope/bin:$PATH PYTHONUNBUFFERED=1 SPINSCOPE_DATA=/data
USER spinscope
VOLUME /data
EXPOSE 8000
CMD ["spinscope", "serve", "--host", "0.0.0.0", "--no-browser"]
