# Every target sets up what it needs; the second time is quick and offline.
#   make demo    train on the simulated drives, score them with the slim runtime
#   make test    every test, and tests/runtime again in an environment that holds only the runtime's wheel
#   make lint types bench matrix clean

# The first Python of at least 3.11 on the PATH; name another with PYTHON=…
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$python; break; }; done)

VENV := .venv
SLIM := .venv-runtime
INSTALL := bin/python tools/pip_install.py
RUNTIME_SOURCES := $(shell find runtime/src runtime/pyproject.toml runtime/README.md -type f -not -name '*.pyc')

# Kept in step with [dependency-groups] of pyproject.toml, which pip reads only from version 25.1 on; a test compares.
TEST_TOOLS := pytest pytest-xdist hypothesis jsonschema
LINT_TOOLS := $(TEST_TOOLS) ruff mypy import-linter pandas-stubs types-jsonschema

.PHONY: demo test lint types bench clean setup setup-runtime setup-test

demo: $(VENV)/.training $(SLIM)/.wheel
	@$(VENV)/bin/python demo/run_demo.py --runtime-python $(SLIM)/bin/python

test: $(VENV)/.test $(SLIM)/.test $(SLIM)/.wheel
	$(VENV)/bin/python -m pytest -n auto $(PYTEST_ARGS)
	$(SLIM)/bin/python -m pytest tests/runtime $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(VENV)/.lint
	$(VENV)/bin/mypy

bench: $(VENV)/.test $(SLIM)/.wheel
	$(VENV)/bin/python benchmarks/footprint.py --runtime-python $(SLIM)/bin/python

clean:
	rm -rf $(VENV) $(SLIM) build models

setup: $(VENV)/.test $(SLIM)/.test

$(VENV)/.python $(SLIM)/.python: constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found: set PYTHON=/path/to/python" >&2; exit 1; }
	@echo "making $(@D) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(@D)
	@touch $@

$(VENV)/.training: $(VENV)/.python runtime/pyproject.toml training/pyproject.toml
	@$(VENV)/$(INSTALL) "installing the build tool" 6 -- install -c constraints.txt hatchling editables
	@$(VENV)/$(INSTALL) "installing the training side" 36 -- install -c constraints.txt --no-build-isolation \
	  -e runtime -e training
	@touch $@

$(VENV)/.test: $(VENV)/.training pyproject.toml
	@$(VENV)/$(INSTALL) "installing the test tools" 16 -- install -c constraints.txt $(TEST_TOOLS)
	@touch $@

$(VENV)/.lint: $(VENV)/.training pyproject.toml
	@$(VENV)/$(INSTALL) "installing the lint tools" 36 -- install -c constraints.txt $(LINT_TOOLS)
	@touch $@

build/wheels/.runtime: $(VENV)/.training $(RUNTIME_SOURCES)
	@mkdir -p build/wheels && rm -f build/wheels/ev_qa_runtime-*.whl
	@$(VENV)/$(INSTALL) "building the runtime's wheel" 1 -- wheel --no-deps --no-build-isolation -w build/wheels ./runtime
	@touch $@

$(SLIM)/.dependencies: $(SLIM)/.python runtime/pyproject.toml | build/wheels/.runtime
	@$(SLIM)/$(INSTALL) "installing the runtime alone" 6 -- install -c constraints.txt build/wheels/ev_qa_runtime-*.whl
	@touch $@

$(SLIM)/.wheel: $(SLIM)/.dependencies build/wheels/.runtime
	@$(SLIM)/$(INSTALL) "installing the runtime's wheel" 1 -- install --no-deps --no-index --force-reinstall \
	  build/wheels/ev_qa_runtime-*.whl
	@touch $@

$(SLIM)/.test: $(SLIM)/.dependencies
	@$(SLIM)/$(INSTALL) "installing its test tools" 8 -- install -c constraints.txt pytest hypothesis
	@touch $@
