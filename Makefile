# Everything runs in one virtual environment, made on first use and renewed when pyproject.toml changes.

VENV := .venv
WHEEL_VENV := .venv-wheel
RUN := $(VENV)/bin/python
ENV := $(VENV)/.stamp
DIR ?=
PYTEST_ARGS ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo dev test quick fault fuzz lint format generate bench deps wheel-env clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(ENV)  ## a whole cluster runs the example's pipeline (BREAK=1: with one of its tests broken)
	@$(RUN) examples/demo.py $(if $(BREAK),--break)

dev: $(ENV)  ## a cluster on this machine until Ctrl-C (DIR=folder: runs its pipeline, again on each save)
	@$(VENV)/bin/cicd dev $(DIR)

test: lint wheel-env  ## lint, then every test; end-to-end tests run the built wheel (PYTEST_ARGS=...)
	CICD_TEST_PYTHON=$(CURDIR)/$(WHEEL_VENV)/bin/python \
		$(RUN) -m pytest -n 3 --dist loadgroup --cov --cov-report= $(PYTEST_ARGS)
	@echo "coverage, in percent: $$($(VENV)/bin/coverage report --format=total)"
	@$(VENV)/bin/coverage report --include='cicd/core/*,cicd/messages/*' --fail-under=100

quick: $(ENV)  ## the tests that start no cluster
	$(RUN) -m pytest -n 2 -q -m "not e2e and not slow" $(PYTEST_ARGS)

fault: $(ENV) wheel-env  ## the fault, fuzz and load tests in their full size: hours; the figures go into fault.jsonl
	CICD_TEST_PYTHON=$(CURDIR)/$(WHEEL_VENV)/bin/python CICD_FIGURES=$(CURDIR)/fault.jsonl \
		$(RUN) -m pytest tests/fault tests/simulation --full -o timeout=14400 -s $(PYTEST_ARGS)

fuzz: $(ENV)  ## a million damaged frames into a master's sockets; minutes
	CICD_FIGURES=$(CURDIR)/fault.jsonl $(RUN) -m pytest tests/fault/test_hostile.py --full -o timeout=3600 -s $(PYTEST_ARGS)

lint: $(ENV)  ## style, types, layers, and whether what is generated is up to date
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) proto/generate.py --check
	$(RUN) docs/generate_states.py --check

format: $(ENV)  ## let ruff mend what it can
	$(RUN) -m ruff check --fix-only --quiet .
	$(RUN) -m ruff format .

generate: $(ENV)  ## write what comes from the .proto and from the state tables
	$(RUN) proto/generate.py
	$(RUN) docs/generate_states.py

bench: $(ENV)  ## speed beside the raw limits of this machine, one JSON line each
	@$(RUN) -m bench

deps:  ## install what the tests need from the operating system (Debian), if it is missing
	@.ci/deps

wheel-env: $(ENV)
	@.ci/wheel-env $(VENV) $(WHEEL_VENV)

clean:  ## remove what these commands made
	rm -rf $(VENV) $(WHEEL_VENV) dist build htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find cicd sdk bench tests examples docs proto -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENV): pyproject.toml .ci/venv
	@.ci/venv $(VENV)
