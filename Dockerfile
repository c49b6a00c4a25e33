# bench with every Python method, for a CPU: docker build -t bench . && docker run --rm -v "$PWD:/work" bench run --task doublet --methods all
FROM python:3.11-slim-bookworm AS build
COPY . /src
WORKDIR /src
# As in the Makefile: torch first and with pip, so that its CPU build is found; then everything at the locked versions.
RUN python -m venv /opt/bench \
 && /opt/bench/bin/pip install --no-cache-dir --constraint requirements-py311.lock uv torch \
      --extra-index-url https://download.pytorch.org/whl/cpu \
 && /opt/bench/bin/uv pip install --no-cache --python /opt/bench/bin/python --constraint requirements-py311.lock ".[all]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/bench /opt/bench
# Spinning OpenMP threads make torch up to 40 times slower on shared cores.
ENV PATH=/opt/bench/bin:$PATH OMP_WAIT_POLICY=PASSIVE
RUN useradd --create-home --uid 1000 bench && mkdir /work && chown bench /work
USER 1000
WORKDIR /work
ENTRYPOINT ["bench"]
CMD ["--help"]
