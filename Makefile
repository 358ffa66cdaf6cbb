# make run      install what is needed, then watch the network read digits
# make test     install what the tests need, then run them
# make check    the same, after formatting, linting and types
# make slow     the tests that take minutes
# make docs     the reference of every module, into build/docs
# make benchmarks, make pretrained, make picture, make screenshots, make clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt

# MNIST, where it is at hand: in the folder that JAXNET_DATA names, or in the user's cache.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jaxnet
IMAGES := $(firstword $(wildcard $(foreach d,$(JAXNET_DATA) $(CACHE),$(d)/t10k-images?idx3-ubyte*)))
LABELS := $(firstword $(wildcard $(foreach d,$(JAXNET_DATA) $(CACHE),$(d)/t10k-labels?idx1-ubyte*)))

.PHONY: run test lint check slow benchmarks pretrained picture screenshots docs clean

run: $(VENV)/installed-all
	$(BIN)/jaxnet classify
ifneq ($(and $(IMAGES),$(LABELS)),)
	$(BIN)/jaxnet classify $(IMAGES) --labels $(LABELS)
endif

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

check: lint test

slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

benchmarks: $(VENV)/installed-bench
	$(BIN)/python -m tests.benchmarks

pretrained: $(VENV)/installed-all
	$(BIN)/python -m jaxnet.pretrained.train

picture: $(VENV)/installed-all
	$(BIN)/python examples/picture.py

screenshots: $(VENV)/installed-dev
	$(BIN)/python -m tests.browser.screenshots build/screenshots examples/page.png

docs: $(VENV)/installed-dev
	$(BIN)/python -m tests.reference build/docs

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed-%: pyproject.toml tests/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[$*]'
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("jaxnet needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
