# One chore, one target; CI calls the same. `make` alone lists them.
#
#   PYTHON=…   the Python that makes the environment (default: the newest of 3.11 to 3.13 that works)
#   VENV=…     where the environment lives (default: .venv)
#   ARGS=…     more arguments for serve, test, guard, bench or lock

PYTHON ?=
VENV   ?= .venv
ARGS   ?=
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip

# What a shell around us says about Python must not decide what the environment sees.
unexport PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# ONNX Runtime reports to its makers unless told not to.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help serve test check guard bench models lock clean gone

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' Makefile

serve: $(VENV)/.serve ## Serve the example models on http://127.0.0.1:8086
	$(BIN)/mlserve -c config.example.yaml $(ARGS)

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev ## Check format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

guard: $(VENV)/.dev ## Fail if a request costs more than recorded (ARGS=--record to record)
	$(BIN)/python -m benchmarks.guard $(ARGS)

bench: $(VENV)/.dev ## Measure start, memory and overhead
	$(BIN)/python -m benchmarks $(ARGS)

models: $(VENV)/.dev ## Train the example models again
	$(BIN)/python examples/train.py

# The locks hold for Linux (x86_64, aarch64) and macOS, and name packages and hashes, never a place to get them from.
LOCK = $(BIN)/uv pip compile pyproject.toml --no-config --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

lock: $(VENV)/.made ## Write requirements/*.txt from pyproject.toml (ARGS=--upgrade for newer versions)
	$(PIP) install --quiet uv
	$(LOCK) --all-extras --group dev --output-file requirements/dev.txt
	$(LOCK) --all-extras --group build --constraint requirements/dev.txt --output-file requirements/all.txt
	$(LOCK) --extra tensorflow --group build --constraint requirements/dev.txt --output-file requirements/serve.txt

clean: ## Remove the environment and everything built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is touched last, so that an installation cut short is done again; an environment whose Python has gone
# (the system got a newer one) is made anew.
$(VENV)/.made: $(if $(wildcard $(BIN)/python),,gone)
	@python=$$(scripts/find-python $(PYTHON)) && echo "$$python -m venv $(VENV)" && "$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.serve: requirements/serve.txt
$(VENV)/.dev: requirements/dev.txt
$(VENV)/.serve $(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(PIP) install --require-hashes -r requirements/$(subst .,,$(notdir $@)).txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
