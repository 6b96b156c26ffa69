# Two commands do everything: `make book` and `make test`. Both set up .venv first.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PAGES := _build/html
CHAPTERS := $(sort $(wildcard book/*.ipynb))

# What the chapters draw and train is kept, by the library and the versions that made it: the
# second command finds what the first one trained, and a change in the library starts afresh.
KEY := $(shell cat facenet_lib/*.py facenet_lib/recipes/*.yaml constraints.txt | cksum | cut -d' ' -f1)
export FACENET_CACHE ?= $(CURDIR)/.cache/$(KEY)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: book test check bench clean

book: $(INSTALLED)
	@echo "Running the chapters (first time: about 10 minutes on two cores) and building the book."
	@echo "Faces and networks: $(FACENET_CACHE)"
	@rm -rf $(PAGES)
	$(BIN)/jupyter-book build -n -W --keep-going --all .
	@echo "The book: file://$(CURDIR)/$(PAGES)/index.html"

test: $(INSTALLED) check
	@echo "Library tests, then the chapters (about 10 minutes on two cores; less after 'make book')."
	@echo "Faces and networks: $(FACENET_CACHE)"
	$(BIN)/pytest tests $(CHAPTERS) --nbmake --nbmake-timeout=1800

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/pytest tests/benchmarks -s -o norecursedirs=

clean:
	rm -rf _build .cache

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up .venv (downloads about 1 GB, once)."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,test]"
	@touch $@
