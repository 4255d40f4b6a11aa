# Everything happens in .venv/ of this checkout. `make demo` and `make test` need nothing but Python.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint bench clean help

help:
	@echo "make demo   set up and run the main job on the embedded model"
	@echo "make test   set up and run the tests"
	@echo "make lint   ruff and mypy"
	@echo "make bench  side-by-side measurements"

demo: .venv/.runtime
	$(BIN)/promptinfill demo

test: .venv/.dev
	$(BIN)/python -m pytest

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev
	mkdir -p runs && rm -f runs/bench.jsonl
	$(BIN)/python benchmarks/run.py --results runs/bench.jsonl --write docs/benchmarks.md

.venv/.runtime: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing promptinfill into .venv (PyTorch is large: this can take a minute) ..."
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

.venv/.dev: .venv/.runtime
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv runs build dist
