# make demo   set-up, then the main job on real input
# make test   set-up (Debian packages too when root), then lint, types, rooms and tests
# make bench  set-up, then every benchmark; writes bench/results.json
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo test lint types rooms unit bench guests debian clean

help:
	@grep -E '^# make' Makefile | sed 's/^# //'

# Debian packages: installed when root on a Debian machine, named otherwise.
debian:
	@PYTHON=$(PYTHON) bash setup-debian.sh

$(VENV)/.installed: pyproject.toml
	@echo "set-up: Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]' --group dev
	@touch $@

demo: debian $(VENV)/.installed
	@$(BIN)/edgehost demo $(ARGS)

test: debian $(VENV)/.installed lint types rooms unit

lint: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed
	@$(BIN)/mypy

rooms: $(VENV)/.installed
	@$(BIN)/lint-imports

unit: $(VENV)/.installed
	@$(BIN)/python -m pytest --cov $(ARGS)

bench: debian $(VENV)/.installed
	@$(BIN)/python -m bench.run $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
