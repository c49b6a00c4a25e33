# Two commands do everything on a fresh machine: `make demo` and `make test`. Both work in .venv at the repository's root.
# Another Python: `make demo PYTHON=python3.13`.
PYTHON ?= python3
VENV ?= .venv
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(VERSION)

# A lock for each Python: the newest packages of this field do not exist for 3.11.
LOCK := requirements-py$(subst .,,$(VERSION)).lock
# Where the lock names no torch, PyPI's only build is one for CUDA, of several GB: `make demo EXTRAS=all` asks for it.
EXTRAS ?= $(if $(shell grep ^torch= $(LOCK) 2>/dev/null),all,no-torch)
MODELS := $(filter all,$(EXTRAS))

# Spinning OpenMP threads make torch up to 40 times slower on shared cores.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test fast lint types docs clean help

help:
	@echo "make demo        set up .venv, run every doublet method on the built-in cohort, print where the report lies"
	@echo "make test        set up .venv, run the whole test suite (slow ones too)"
	@echo "make fast        the tests that take seconds, need no R and no browser"
	@echo "make fast-3.13   the same on another Python, in a .venv-3.13 of its own; skipped where there is no such Python"
	@echo "make docs        the site of docs/ in build/docs, from pages and docstrings; a warning is an error"
	@echo "make lint        ruff, oxlint for the scripts of the report; make types: mypy (strict for the core)"

demo: $(READY)
	$(BIN)/bench run --task doublet --methods all --preset short --seeds 1 --allow-failures

test: $(READY)
	$(BIN)/python -m pytest

fast: $(READY)
	$(BIN)/python -m pytest -m "not slow and not r and not browser and not bioconductor" $(TESTS)

# What meets the newer pandas, anndata and scanpy most; `make fast-3.13 TESTS=tests` runs the others too.
fast-%: TESTS ?= tests/data tests/tasks
FIND = from bench.environments.interpreters import find_python; print(getattr(find_python("$*"), "path", ""))
fast-%: $(READY)
	@found=$$($(BIN)/python -c '$(FIND)'); \
	if [ -n "$$found" ]; then $(MAKE) fast PYTHON="$$found" VENV=.venv-$* TESTS="$(TESTS)"; else echo "python$* is not here: skipped"; fi

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/oxlint --deny-warnings reports

types: $(READY)
	scripts/typecheck.sh $(BIN)/mypy

# Needs no network once its packages are there.
docs: $(READY)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(LOCK) --group docs
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going docs build/docs
	@echo "open build/docs/index.html"

$(LOCK):
	@echo "no lock for Python $(VERSION), only: $(wildcard requirements-*.lock). Name another one: make PYTHON=python3.13"
	@exit 1

# torch first, by itself and with pip, which knows where a CPU build lies: it is then not replaced by one with CUDA.
$(READY): pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(if $(wildcard $(VENV)/lib/python$(VERSION)),,--clear) $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(LOCK) uv $(MODELS:all=torch)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint $(LOCK) \
	  --group dev $(MODELS:all=--group dev-models) --editable ".[$(EXTRAS)]"
	@if command -v R >/dev/null; then \
	  echo "R found: installing rpy2"; \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(LOCK) --editable ".[r]" || \
	  echo "rpy2 could not be built (R's headers are in r-base-dev); R methods stay unavailable"; \
	fi
	@touch $(READY)

clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
