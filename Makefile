# Every target sets up what it needs; the second time is quick and offline.
#   make demo    train on the simulated drives, score them with the slim runtime
#   make test    every test, and tests/runtime again in an environment that holds only the runtime's wheel
#   make lint types bench quality matrix matrix-slice campaigns clean

# The first Python of at least 3.11 on the PATH; name another with PYTHON=…
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$python; break; }; done)

VENV := .venv
SLIM := .venv-runtime
INSTALL := bin/python tools/pip_install.py
RUNTIME_SOURCES := $(shell find runtime/src runtime/pyproject.toml runtime/README.md -type f -not -name '*.pyc')

# Kept in step with [dependency-groups] of pyproject.toml, which pip reads only from version 25.1 on; a test compares.
TEST_TOOLS := pytest pytest-xdist hypothesis jsonschema s3fs moto[s3] flask flask-cors
LINT_TOOLS := $(TEST_TOOLS) ruff mypy import-linter pandas-stubs types-jsonschema
BENCH_TOOLS := matplotlib skl2onnx threadpoolctl treelite tl2cgen coniferest pyod
BENCH_FROM_SOURCE := isotree

.PHONY: demo test lint types bench quality matrix matrix-slice campaigns clean setup setup-runtime setup-test

demo: $(VENV)/.training $(SLIM)/.wheel
	@$(VENV)/bin/python demo/run_demo.py --runtime-python $(SLIM)/bin/python

test: $(VENV)/.test $(SLIM)/.test $(SLIM)/.wheel
	$(VENV)/bin/python -m pytest -n auto
	$(SLIM)/bin/python -m pytest tests/runtime

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(VENV)/.lint
	$(VENV)/bin/mypy

# Writes benchmarks/RESULTS.md. BENCH_ARGS=--quick for a smoke run, --telemetry CSV for other telemetry.
bench: $(VENV)/.bench $(SLIM)/.wheel
	$(VENV)/bin/python -m benchmarks.run_all --runtime-python $(SLIM)/bin/python $(BENCH_ARGS)

# Writes benchmarks/QUALITY.md: faults found, delays and false alarms beside peers and as shipped, about ten minutes.
quality: $(VENV)/.bench
	$(VENV)/bin/python -m benchmarks.quality $(BENCH_ARGS)

# Every scikit-learn against every onnxruntime, and ten million adversarial rows. Environments stay in build/matrix.
matrix: $(VENV)/.training
	$(VENV)/bin/python -m tools.matrix.run
	$(VENV)/bin/python -m tools.matrix.adversarial_campaign --rows 10000000

# What continuous integration runs of it: needs Python 3.11.
matrix-slice: $(VENV)/.training
	$(VENV)/bin/python -m tools.matrix.run --slice
	$(VENV)/bin/python -m tools.matrix.adversarial_campaign --rows 1000000

# Whole models under kills, failing disks, changed bytes and crowds, about an hour. CAMPAIGN_ARGS=--slice for minutes,
# CAMPAIGN_ARGS='--only kill_during_save' for one of them.
campaigns: $(VENV)/.test
	$(VENV)/bin/python -m tools.campaigns.run $(CAMPAIGN_ARGS)

clean:
	rm -rf $(VENV) $(SLIM) build models

setup: $(VENV)/.test $(SLIM)/.test

$(VENV)/.python $(SLIM)/.python: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is not one: set PYTHON=/path/to/python" >&2; exit 1; }
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

# isotree comes as source: some minutes of compiling, and the benchmark does without it where that fails.
$(VENV)/.bench: $(VENV)/.training pyproject.toml
	@$(VENV)/$(INSTALL) "installing the engines to compare with" 36 -- install -c constraints.txt $(BENCH_TOOLS)
	@$(VENV)/$(INSTALL) "compiling $(BENCH_FROM_SOURCE), some minutes" 4 -- install -c constraints.txt $(BENCH_FROM_SOURCE) \
	  || echo "$(BENCH_FROM_SOURCE) could not be built: the benchmark will skip it" >&2
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
