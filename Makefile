# `make demo` and `make test` need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO_DONE := .demo-done
S3_SERVER := .venv-s3/.installed
SOURCES := $(shell find src conf/base conf/demo -type f -not -name '*.pyc' -not -path '*.egg-info/*')

export DO_NOT_TRACK := true
export KEDRO_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-slow attack fuzz bench bench-scale dtype-gate check format lint types contracts install clean-demo clean-runs
.DEFAULT_GOAL := help

help:  ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO_DONE)  ## install, run the whole job on synthetic plates, print the path of the report
	@$(BIN)/kedro where --env demo

test: $(INSTALLED)  ## install, run the tests
	@$(BIN)/pytest -q -m "not slow" -n 2 --dist loadfile

test-slow: $(INSTALLED) $(S3_SERVER)  ## run the tests that kill and restart whole processes
	@$(BIN)/pytest -q -m slow -n 2 --dist loadfile

attack: $(INSTALLED) $(S3_SERVER)  ## all attacks: kills, full disks, bad input (most of an hour)
	@MORPHOCLIP_ATTACKS=all $(BIN)/pytest -q tests/attacks

fuzz: $(INSTALLED)  ## a fuzzer on the readers of files from outside; SECONDS_EACH=60
	@$(BIN)/python -m pip install -q -e ".[fuzz]"
	@$(BIN)/python -m tests.attacks.fuzz --seconds $(or $(SECONDS_EACH),60)

check: format-check lint types contracts test test-slow  ## everything that CI asks of a change

bench: $(INSTALLED)  ## benchmark against a straightforward implementation; QUICK=1 for a short run
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

bench-scale: $(INSTALLED)  ## time and memory at JUMP's size: 1,500 plates, 100,000 treatments; hours
	@$(BIN)/python -m benchmarks.scale

dtype-gate: $(INSTALLED)  ## does half precision change features? MODEL=id or folder IMAGES=folder
	@test -n "$(MODEL)" -a -n "$(IMAGES)" || { echo "give MODEL=<hub id or folder> and IMAGES=<plate folder>"; exit 1; }
	@$(BIN)/python -m benchmarks.dtype_gate --model "$(MODEL)" --images "$(IMAGES)"

format: $(INSTALLED)  ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only -q .

format-check: $(INSTALLED)
	@$(BIN)/ruff format --check -q .

lint: $(INSTALLED)  ## lint
	@$(BIN)/ruff check .

types: $(INSTALLED)  ## check types
	@$(BIN)/mypy

contracts: $(INSTALLED)  ## check the import rules
	@$(BIN)/lint-imports

install: $(INSTALLED) .env  ## make .venv and install

clean-runs: $(INSTALLED)  ## delete old versions, and runs that were deleted in MLflow's pages
	@$(BIN)/kedro prune --keep 1 --yes
	@test ! -f mlflow.db || $(BIN)/mlflow gc --backend-store-uri sqlite:///mlflow.db

clean-demo:  ## delete the demo's data; the next `make demo` starts afresh
	rm -rf data/demo $(DEMO_DONE)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "MorphoCLIP needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) lacks its venv module: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about 3 GB, some minutes the first time"
	@$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	@touch $@

# an S3 server for tests, which needs another botocore than s3fs does
$(S3_SERVER): tests/s3-server.txt
	@test -x .venv-s3/bin/python || $(PYTHON) -m venv .venv-s3
	@.venv-s3/bin/python -m pip install -q -r tests/s3-server.txt
	@touch $@

.env:
	@cp .env.example .env

$(DEMO_DONE): $(INSTALLED) $(SOURCES) | .env
	@$(BIN)/kedro run --env demo --pipeline demo_gallery
	@$(BIN)/kedro run --env demo
	@touch $@
