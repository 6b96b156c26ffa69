# Builds the book, and serves its pages at port 8000 and its notebooks at port 8888, where
# JupyterLab asks for the token that it prints:
#   docker build --tag facenet-book .
#   docker run --rm --publish 127.0.0.1:8000:8000 --publish 127.0.0.1:8888:8888 facenet-book
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make=4.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 --user-group reader \
    && install --directory --owner reader --group reader /book
USER 1000:1000
WORKDIR /book
ENV FACENET_CACHE=/book/.cache/faces

# The packages first: they change more seldom than what is written here.
COPY --chown=1000:1000 pyproject.toml constraints.txt README.md Makefile ./
COPY --chown=1000:1000 facenet_lib/__init__.py facenet_lib/
RUN PIP_NO_CACHE_DIR=1 make .venv/installed \
    && .venv/bin/python -m pip install --no-cache-dir --constraint constraints.txt jupyterlab==4.*

COPY --chown=1000:1000 . .
RUN make book

EXPOSE 8000 8888
CMD ["sh", "-c", ".venv/bin/python -m http.server 8000 --directory _build/html & exec .venv/bin/jupyter lab --no-browser --ip 0.0.0.0 --port 8888 book"]
