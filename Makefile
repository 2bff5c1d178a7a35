# Every verb a person needs. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export DO_NOT_TRACK = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test dev check docs bench evaluate

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: .venv/.ready ## install the locked environment into .venv and render the dbt manifest

# pip brings uv, uv brings the rest (three times faster); where uv cannot reach the index, pip does it alone.
.venv/.ready: requirements.lock pyproject.toml
	@echo "Installing the locked environment into .venv (about a minute the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@set -e; start=$$(date +%s); \
	 sed -n '/^uv==/,/^[a-z].*==/p' requirements.lock | sed '$$d' > .venv/uv.lock; \
	 $(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock; \
	 VIRTUAL_ENV=.venv UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install -q --require-hashes -r requirements.lock || \
	 $(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock; \
	 $(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	 $(BIN)/drgq prepare > /dev/null; \
	 touch $@; echo "Ready after $$(( $$(date +%s) - start )) s."

demo: setup ## generate the demonstration city, run everything, print the scoreboard
	@$(BIN)/drgq demo

test: setup ## run every test: unit, spec, dbt, whole graph
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

dev: setup ## open Dagster on http://127.0.0.1:3000
	@$(BIN)/drgq dev

check: setup ## lint and format check
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

docs: setup ## write the pages of fields and rules, and the data dictionary as one HTML file: var/docs/static_index.html
	@$(BIN)/python -m pipelines.field_table > docs/front-sheet-fields.md
	@$(BIN)/drgq rules --markdown > docs/front-sheet-rules.md
	@DRGQ_HOME=$(CURDIR)/var $(BIN)/dbt --quiet docs generate --static --empty-catalog --project-dir dbt_project \
	 --profiles-dir dbt_project --target-path $(CURDIR)/var/docs && echo var/docs/static_index.html

bench: setup ## measure grouper, intake, whole run and gate: seconds and peak memory (one of them: WHAT=group, intake, run or gate)
	@$(BIN)/python -m tests.bench $(WHAT)

evaluate: setup ## judge invented cities in which every true growth is known: docs/evaluation.md (minutes)
	@$(BIN)/python -m tests.evaluation
