# Everything needs only Python >= 3.11 and make; the first target sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
# Tests run in this many processes; the servers of each are its own.
WORKERS ?= 2

CLUSTER_WORKERS ?= 3
SHELL_SCRIPTS := .ci/run docker/install-postgresql $(addprefix tests/cluster/node/,base-image down inside load-image programs up) \
	$(wildcard tests/cluster/servers/*.sh)
# Whichever of them is there makes the image; its settings: make image BUILD_ARGS='--build-arg PG_MAJORS=17'
BUILDER ?= $(firstword $(notdir $(shell command -v docker podman buildah)))
BUILD_ARGS ?=

# What is passed on to `make bench`, for example BENCH='--gib 0.2 --rounds 2'.
BENCH ?=

.PHONY: help install demo test test-cluster check bench docs format image clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## Install pgproof and all it needs into .venv

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pgproof needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[chat,serve,demo,dev]'
	@touch $@

demo: install  ## Back up and restore real data on embedded servers
	@$(BIN)/pgproof demo

test: install  ## Run every test this machine can run
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup

# Most of the time goes by in waiting for the cluster, so more processes than cores are of use.
test-cluster: install  ## Run the scenarios on the Kubernetes of KUBECONFIG, or on one made on the spot (as root)
	$(BIN)/pytest tests/cluster --numprocesses $(CLUSTER_WORKERS) --dist loadgroup --timeout 900

check: install  ## Format, lint, types, import contracts, docs drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile tests/cluster/servers/Dockerfile
	$(BIN)/shellcheck --external-sources --source-path SCRIPTDIR $(SHELL_SCRIPTS)
	$(BIN)/pytest --quiet tests/docs/test_docs.py tests/chart/test_generated.py -k "not ci_file"

bench: install  ## Measure pgproof beside other tools; writes bench/results.md (half an hour; to try: BENCH='--gib 0.1 --rounds 1')
	$(BIN)/python -m bench.peers $(BENCH)

image:  ## Build the container image, localhost/pgproof
	$(or $(BUILDER),$(error docker, podman or buildah is needed)) build $(BUILD_ARGS) --tag localhost/pgproof .

docs: install  ## Write the pages that are made from the program
	$(BIN)/python -m tests.docs.generate
	$(BIN)/python -m tests.chart.generate

format: install  ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Delete .venv and every cache
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
