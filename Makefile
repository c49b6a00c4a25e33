# Two commands do everything on a fresh machine: `make demo` and `make test`. Both work in .venv at the repository's root.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Spinning OpenMP threads make torch up to 40 times slower on shared cores.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: demo test lint types browser clean help

help:
	@echo "make demo   set up .venv, run every doublet method on the built-in cohort, print where the report lies"
	@echo "make test   set up .venv, run the whole test suite (slow ones too)"
	@echo "make lint   ruff; make types: mypy (strict for the core)"

demo: $(READY)
	$(BIN)/bench run --task doublet --methods all --allow-failures

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	scripts/typecheck.sh $(BIN)/mypy

# torch first and by itself: its pinned CPU build is then not replaced by a newer one with CUDA.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip==$$(sed -n 's/^# pip==//p' requirements.lock)"
	$(BIN)/python -m pip install --quiet --constraint requirements.lock torch
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --group dev --editable ".[all]"
	@if command -v R >/dev/null; then \
	  echo "R found: installing rpy2"; \
	  $(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[r]" || \
	  echo "rpy2 could not be built (R's headers are in r-base-dev); R methods stay unavailable"; \
	fi
	@touch $(READY)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
