# make lab     JupyterLab on notebooks/00-start-here.ipynb; ARGS="--no-browser --port=8899" passes through
# make app     the Explorer as a page of its own, by Voila; ARGS as for lab
# make test    lint, then every test; ARGS="tests/solvers -k cgls" narrows it
# make lint    ruff, mypy and the import contracts
# make bench   times as ratios to the bare operator
# make soak    paper-size and long runs
# make docs    the site with every lesson and component, in docs/_site
# make clean   forget the environment and every cache
#
# The first run creates .venv with the pinned versions; PYTHON=python3.12 chooses what creates it.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
# A checking machine must have the browser: without it its tests fail instead of being skipped.
BROWSER := $(if $(filter true,$(CI)),EXPLORER_REQUIRE_BROWSER=1)
WORKERS ?= auto

.PHONY: lab app test lint bench soak docs clean chromium

lab: $(VENV)/installed
	$(BIN)/python -m explorer lab $(ARGS)

app: $(VENV)/served
	$(BIN)/python -m explorer app $(ARGS)

test: lint chromium
	$(BROWSER) $(BIN)/python -m pytest --numprocesses=$(WORKERS) --maxprocesses=8 --dist=loadgroup $(ARGS)

lint: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/benched
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: $(VENV)/tested chromium
	$(BROWSER) $(BIN)/python -m pytest -m soak $(ARGS)

docs: $(VENV)/documented
	$(BIN)/python docs/build.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache artifacts docs/_site docs/_source

chromium:
	@.ci/chromium

# Stamps: an environment is made again when the ranges or the pins have changed.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Explorer needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV): a few minutes, and up to 6 GB with CUDA, the first time."
	$(INSTALL) hatchling
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/served: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable '.[voila]'
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable '.[test]'
	@touch $@

$(VENV)/documented: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

$(VENV)/benched: $(VENV)/tested
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	@touch $@
