# Two commands do everything: `make book` and `make test`. Both set up .venv first.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PAGES := _build/html

# What the chapters draw, train and answer is kept, by all that it depends on: the library, Python,
# the pinned versions and the faces. The second command finds what the first one trained, and a change
# starts afresh.
LIBRARY := $(sort $(shell find facenet_lib -type f -not -name '*.pyc'))
KEY := $(shell (cat $(LIBRARY) constraints.txt; $(PYTHON) -V; echo "$(FACENET_FACES)"; \
	ls -lR "$(FACENET_FACES)" 2>/dev/null) | cksum | cut -d' ' -f1)
OUTPUTS := .cache/$(KEY)/outputs
export FACENET_CACHE ?= $(CURDIR)/.cache/$(KEY)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: book pdf test check bench lab clean

book: $(INSTALLED)
	@echo "Running the chapters (first time: about 15 minutes on two cores) and building the book."
	@echo "Faces and networks: $(FACENET_CACHE)"
	@rm -rf $(PAGES)
	$(BIN)/python book/run_chapters.py $(OUTPUTS)
	@rm -rf .cache/outputs && ln -s $(KEY)/outputs .cache/outputs
	$(BIN)/jupyter-book build -n -W --keep-going --all .
	@echo "The book: file://$(CURDIR)/$(PAGES)/index.html"

pdf: $(INSTALLED)
	@test -f $(PAGES)/index.html || $(MAKE) book
	$(BIN)/python book/make_pdf.py $(PAGES) _build/facenet-book.pdf

# Three processes, because some tests wait for others.
test: $(INSTALLED) check
	@echo "Chapters and library tests (about 32 minutes on two cores; 17 after make book, which has"
	@echo "run the chapters: one that ran through with this very library is not run again)."
	@echo "Faces and networks: $(FACENET_CACHE)"
	chapters=$$($(BIN)/python book/run_chapters.py $(OUTPUTS) --left) && \
	{ [ -z "$$chapters" ] || $(BIN)/python book/prepare_chapters.py; } && \
	$(BIN)/pytest $$chapters tests --nbmake --numprocesses 3

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	@echo "Measuring, about 45 minutes on two cores; FACENET_PEERS names what to compare with."
	$(BIN)/pytest tests/benchmarks -q -s -o norecursedirs=".*"

lab: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt jupyterlab
	$(BIN)/python book/user_paths.py $(BIN)/jupyter lab book

clean:
	rm -rf _build .cache

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else "Python 3.11 to 3.13 is needed, found %d.%d: name another with make PYTHON=..." % v[:2])'
	@echo "Setting up .venv (downloads about 1 GB, once)."
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,test]"
	@touch $@
