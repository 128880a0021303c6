# `make help` lists the targets. Needs Python 3.11 to 3.13, make and git; everything else goes into .venv.
PYTHON ?= python3
# Recipes call .venv/bin by its relative path: that of the folder may hold spaces
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help install repro test check bench scenarios faults served versions upgrade ui

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: .venv/installed ## make .venv with every pinned package and the ratchet command

.venv/installed: requirements.lock pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

repro: install ## run the pipeline on real data, then promote the first champion
	dvc repro
	ratchet promote

test: install ## run the tests: no network, tiny real inputs, about 25 minutes on 2 cores
	pytest

check: install ## lint, format and types
	ruff check .
	ruff format --check .
	mypy

bench: install ## measure speed and memory against the peers; writes benchmarks/results/
	.venv/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[bench]'
	python -m benchmarks

scenarios: install ## run every scenario in full on real data; prints the table of docs/scenarios.md
	python -m benchmarks.scenarios

faults: install ## inject every fault for real, many times; prints the table of docs/reliability.md (hours)
	python -m benchmarks.faults

served: install ## compare registered models in clean environments with their bundles, in the three ways of MLflow
	python -m benchmarks.served

versions: install ## run the tests on the oldest and the newest MLflow, Lightning and torch (two new environments)
	python -m benchmarks.versions

upgrade: install ## make a small project with an earlier commit's code, then try every verb of this one on it: COMMIT=…
	python -m benchmarks.upgrade $(COMMIT)

ui: install ## open MLflow's UI on what was made
	ratchet ui
