# Everything runs in .venv, which `make setup` makes. Name another interpreter with: make setup PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
DONE := .venv/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/make \1\t\2/p' Makefile | expand -t 14

setup: $(DONE)  ## make .venv with pinned dependencies; quick when it is done

demo: $(DONE)  ## run the main job: recordings to a trained tiny policy and runs/demo/report.html
	$(BIN)/python -m vptrain.recipes.demo --out runs/demo

# The tests' tensors are so small that further threads only wait for each other.
test: $(DONE)  ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(DONE)  ## check format, style, types and imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove .venv and caches, but nothing under runs/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DONE): requirements/setup.sh requirements/constraints.txt pyproject.toml
	PYTHON=$(PYTHON) sh requirements/setup.sh
	touch $@
