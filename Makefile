# make leaderboard   from a fresh clone to reports/: sets up, then runs the whole workflow
# make test          sets up, then lint and all tests
# make plots         this state beside the last commit, or ARGS='A B' for two: dvc_plots/index.html, opens offline
# make setup         the environment alone, in .venv
# make mlflow        everything recorded, in MLflow's pages; PORT=5000
# make audit         are requirements pinned and installed as pinned, and are holes known in them? asks pypi.org
# make benchmarks    measures scoring, loading, training, the workflow, checking data and networks: reports/benchmarks/

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/ready
CORES ?= all
ARGS ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
PORT ?= 5000

export PATH := $(BIN):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1
# nothing here serves pages or uploads; one thread a process keeps bytes independent of the number of cores
export OMP_NUM_THREADS := 1

.PHONY: setup leaderboard plots test lint format lock clean mlflow benchmarks audit

setup: $(READY)

# A bare Debian has Python without venv: install that, or say what is missing.
$(READY): requirements.txt requirements-alone.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: needs Python 3.11 or newer; set PYTHON="; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv; } || { echo "make: Python lacks venv; as root: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-alone.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The lock's descriptor is inherited, so it is free exactly when the Snakemake that held it is dead; then Snakemake's
# own lock is stale and may be removed. A second make in the same folder says so and ends.
leaderboard: $(READY)
	@mkdir -p results
	@flock --nonblock --conflict-exit-code 75 results/.making sh -c 'snakemake --unlock --quiet all >/dev/null 2>&1; exec snakemake "$$@"' make --cores $(CORES) $(ARGS) || { code=$$?; [ $$code -ne 75 ] || echo "make: another 'make leaderboard' is at work in this folder"; exit $$code; }

# DVC's own page loads its drawing code from a server; this one brings it.
plots: $(READY)
	@python -m xdseg.plots_page .dvc/tmp/page.html
	dvc plots diff $(ARGS) --html-template .dvc/tmp/page.html

test: lint
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

# Mirrors first, so that the store's tables exist before two processes look at them; where a follower is at work it does
# the mirroring. A team's server shows its own pages. Without its job runners the server is one process, not eight.
mlflow: $(READY)
	@[ -z "$$MLFLOW_TRACKING_URI" ] || { echo "make: MLFLOW_TRACKING_URI is set: mirror with 'xdseg track' and open the pages of that server"; exit 2; }
	@xdseg track --all --pages http://127.0.0.1:$(PORT) || [ -s mlflow.db ]
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

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

audit: $(READY)
	@python -m xdseg.audit

# One after another, as each wants the machine for itself; benchmarks/README.md says what and how.
BENCHMARKS := scoring loader train_step adaptation_step pipeline dataset_check eomt_ladder selective_scan \
  paper_size fuser_attention statistics_coverage tmt page_scale scale

benchmarks: $(READY)
	@mkdir -p reports/benchmarks
	@set -e; for name in $(BENCHMARKS); do echo "$$name"; python benchmarks/$$name.py --out reports/benchmarks/$$name.json $(ARGS); done

clean:
	rm -rf results .snakemake
