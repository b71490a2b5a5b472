# Two commands are enough: `make serve` and `make test`. `make help` lists the rest.
VENV ?= .venv
# make serve PORT=9000; otherwise MUSTER_PORT and MUSTER_HOST decide.
PORT ?=
TORCH ?= torch==2.13.0
# The first Python from 3.11 to 3.13 that works; PYTHON=... overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev serve test test-e2e test-others check fmt bench prove lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Muster needs Python 3.11, 3.12 or 3.13 with venv and ensurepip on the PATH," \
		"or PYTHON=/path/to/python3."; exit 2; }
	@echo "Making the environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

# A stamp is newer than its lock file once everything in it is installed. Hashes are checked; --no-deps because the
# lock is complete. torch comes by itself: see deploy/excluded-packages.txt.
$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing the tools for tests and checks"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed ## Make the environment from the lock file

install-dev: $(VENV)/.installed-dev ## The same with the tools for tests and checks

serve: install ## Start Muster on PORT (default 8000); Ctrl-C stops it
	@exec $(BIN)/muster up $(if $(PORT),--port $(PORT))

# Many processes of ours start in a test run; unless this is set, the first one compiles for the others.
unexport PYTHONDONTWRITEBYTECODE

# Side by side: the end-to-end tier mostly waits for replicas.
test: install-dev ## Run all tests
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-e2e test-others

test-e2e: install-dev
	@$(BIN)/python -m pytest tests/e2e

# One thread each for toy models: several would wait for each other, and for the other tier's processes, spinning.
test-others: install-dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/e2e

check: install-dev ## Lint, format, types, import boundaries, topology
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/muster check

fmt: install-dev ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: install-dev ## Measure; writes benchmarks/RESULTS.md (PEERS=1: other servers too)
	@$(BIN)/python -m benchmarks $(if $(PEERS),--peers)

prove: install-dev ## Run the acceptance checks in full; prints a JSON verdict
	@$(BIN)/python -m benchmarks.prove

lock: ## Resolve the lock files again (needs uv)
	@uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
		--excludes deploy/excluded-packages.txt --custom-compile-command "make lock" -o requirements.lock
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
		--excludes deploy/excluded-packages.txt --custom-compile-command "make lock" -c requirements.lock \
		-o requirements-dev.lock

clean: ## Remove the environment and caches (the data folder .muster stays)
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
