# make leaderboard   from a fresh clone to reports/: sets up, then runs the whole workflow
# make test          sets up, then lint and all tests
# make setup         the environment alone, in .venv
# make benchmarks    measures scoring, loading, training and the workflow: reports/benchmarks/

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/ready
CORES ?= all
ARGS ?=
PYTEST_ARGS ?=

export PATH := $(BIN):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
# nothing here serves pages or uploads; one thread a process keeps bytes independent of the number of cores
export OMP_NUM_THREADS := 1

.PHONY: setup leaderboard test lint format lock benchmarks clean

setup: $(READY)

# A bare Debian has Python without venv: install that, or say what is missing.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: needs Python 3.11 or newer; set PYTHON="; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv; } || { echo "make: Python lacks venv; as root: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The lock's descriptor is inherited, so it is free exactly when the Snakemake that held it is dead; then Snakemake's
# own lock is stale and may be removed. A second make in the same folder says so and ends.
leaderboard: $(READY)
	@mkdir -p results
	@flock --nonblock --conflict-exit-code 75 results/.making sh -c 'snakemake --unlock --quiet all >/dev/null 2>&1; exec snakemake "$$@"' make --cores $(CORES) $(ARGS) || { code=$$?; [ $$code -ne 75 ] || echo "make: another 'make leaderboard' is at work in this folder"; exit $$code; }

test: lint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile pipeline
	snakemake --lint

format: $(READY)
	ruff check --fix .
	ruff format .
	snakefmt Snakefile pipeline

# The pinned requirements, from requirements.in (needs uv).
lock:
	uv pip compile --generate-hashes --no-emit-index-url --python-version 3.11 requirements.in -o requirements.txt

# One after another, as each wants the machine for itself; benchmarks/README.md says what and how.
BENCHMARKS := scoring loader train_step pipeline

benchmarks: $(READY)
	@mkdir -p reports/benchmarks
	@set -e; for name in $(BENCHMARKS); do echo "$$name"; python benchmarks/$$name.py --out reports/benchmarks/$$name.json $(ARGS); done

clean:
	rm -rf results .snakemake
