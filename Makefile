# make demo   set-up, then the main job on real input; ARGS=devices: on emulated boards
# make test   set-up (Debian packages too when root), then lint, types, rooms and tests
# make bench  set-up, then every benchmark; writes bench/results.json
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=

.PHONY: help demo test lint types rooms unit bench debian-demo debian-test clean

help:
	@grep -E '^# make' Makefile | sed 's/^# //'

# Debian packages: installed when root on a Debian machine, named otherwise.
debian-demo:
	@bash setup-debian.sh $(if $(filter devices,$(ARGS)),devices,demo)

debian-test:
	@bash setup-debian.sh test

# What the demo and a host need.
$(VENV)/.installed: pyproject.toml
	@echo "set-up: Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade 'pip>=25.1'
	@$(PIP) install --quiet --editable '.[demo]'
	@touch $@

# What lint, types, tests and benchmarks need as well.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "set-up: tools and test packages into $(VENV)"
	@$(PIP) install --quiet --editable '.[demo]' --group dev
	@touch $@

# And the tools that benchmarks compare with.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(PIP) install --quiet --group bench
	@touch $@

# And the emulator in Python that the story of the devices flashes.
$(VENV)/.installed-devices: $(VENV)/.installed
	@$(PIP) install --quiet --group devices
	@touch $@

demo: debian-demo $(VENV)/.installed $(if $(filter devices,$(ARGS)),$(VENV)/.installed-devices)
	@$(BIN)/edgehost demo $(ARGS)

test: debian-test $(VENV)/.installed-dev lint types rooms unit

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

rooms: $(VENV)/.installed-dev
	@$(BIN)/lint-imports

unit: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest --cov $(ARGS)

bench: debian-test $(VENV)/.installed-bench
	@$(BIN)/python -m bench.run $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
