# SPDX-License-Identifier: BSD-2-Clause
# `make demo` and `make test` are all that a fresh clone needs; everything lands in .venv.
# PYTHON=... picks another interpreter (3.11 or newer), PIP_FLAGS=... goes to every pip install.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
OUT ?= demo
JOBS ?= 2
PYTEST_FLAGS ?=

# First interpreter that is new enough; one named by the user is taken as it is.
IS_NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help
help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: demo
demo: $(STAMP) ## The bundled network, from its file to two verified bitstreams (resumes)
	$(BIN)/pysnn-hw demo -o $(OUT)

.PHONY: test
test: $(STAMP) ## All tests: quick ones first, then simulations and syntheses
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -q $(PYTEST_FLAGS)

.PHONY: quick
quick: $(STAMP) ## The tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m "not (cosim or formal or synth or slow)" $(PYTEST_FLAGS)

.PHONY: lint
lint: $(STAMP) ## ruff and mypy, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: install
install: $(STAMP) ## Only .venv

$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), which takes a few minutes"
	@$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt hatchling -e '.[all,dev]'
	@touch $@

# $(call need,program,apt package,brew package)
need = @command -v $(1) >/dev/null || { echo "$(1) is missing: sudo apt-get install $(2) \
	(macOS: brew install $(3))" >&2; exit 1; }

.PHONY: tools
tools:
	@$(or $(PYTHON),false) -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1 || { echo "Python 3.11 or newer \
	with venv is missing: sudo apt-get install python3 python3-venv (macOS: brew install python)" >&2; exit 1; }
	$(call need,perl,perl,perl)
	$(call need,g++,g++,gcc)

.PHONY: clean
clean: ## Removes the demo's output and the caches of the tools, keeps .venv
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
