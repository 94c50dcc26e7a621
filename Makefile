# Everything sets itself up: `make test` on a fresh clone needs Python 3.11 or later, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: help test lint demo bench clean

help:
	@echo "make test    lint, strict types, import order and all tests"
	@echo "make lint    all of that but the tests"
	@echo "make demo    detail a softened real clip; results and figures go to out/"
	@echo "make bench   speed and memory against the naive algorithm"
	@echo "make clean   remove out/, caches and the virtual environment"

# The stamp is made last, so that an installation that broke off is repeated.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "redetail needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

demo: $(READY)
	$(BIN)/python examples/demo.py

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
