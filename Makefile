# Everything sets itself up: `make test` on a fresh clone needs Python 3.11 or later, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
COMFY := .comfy
COMFY_READY := $(COMFY)/ready
COMFY_NEEDS := tests/comfy/inside/requirements.txt

.PHONY: help test lint comfy demo picture bench fuzz clean

help:
	@echo "make test    lint, strict types, import order and all tests"
	@echo "make lint    all of that except the tests"
	@echo "make comfy   install the ComfyUI for the tests of the nodes into $(COMFY)/; make test does this itself"
	@echo "make demo    detail a softened real clip; results and figures go to out/"
	@echo "make picture run the demo and use its contact sheet as the README's picture"
	@echo "make bench   speed and memory against the naive algorithm"
	@echo "make fuzz    damaged and hostile input of every kind, some 2,600 cases; fails unless all counts are 0"
	@echo "make clean   remove out/, caches and both environments"

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
	$(BIN)/python tools/prose.py

# A few pure Python packages beside the environment, not in it: nothing there can change what the product runs with.
$(COMFY_READY): $(READY) $(COMFY_NEEDS)
	rm -rf $(COMFY)
	$(BIN)/python -m pip install --quiet --no-deps --target $(COMFY) --requirement $(COMFY_NEEDS)
	@touch $@

comfy: $(COMFY_READY)

test: lint $(COMFY_READY)
	REDETAIL_TEST_COMFY=required $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadscope

demo: $(READY)
	$(BIN)/python examples/demo.py

picture: demo
	cp out/contact_sheet.png docs/images/contact_sheet.png

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

clean:
	rm -rf $(VENV) $(COMFY) out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
