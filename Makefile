# Everything runs from .venv, which the first command makes; a stamp makes every later command instant.
#   make cartpole         train our DQN on CartPole: the first success, within two minutes
#   make pong             train our DQN on Pong;  make pong ARGS="--seed 2"
#   make test             format check, lint, types, tests
#   make PYTHON=python3.12 ...   choose the interpreter
#   make test JOBS=8      processes that run the tests side by side, of about 700 MB each

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := lab,sb3,onnx,dashboard,sweep,slurm,dev
# Versions of extras that make does not install, for constraints.txt.
OPTIONAL := minigrid==3.2.0 mlxtend==0.25.0 mujoco==3.15.0 ray==2.60.0 scikit-image==0.26.0 scikit-learn==1.9.1
PYTHON ?=
ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
# Whole test runs: in several processes, the slowest tests named at the end.
WHOLE := -n $(JOBS) --dist loadfile --durations=20
QUICK := -m "not slow and not long"
# The commit that `make same-weights` compares with.
BASE ?= HEAD
.PHONY: help setup cartpole pong play results check test test-all format-check lint types unit same-weights format lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## make .venv with the pinned versions of constraints.txt

# A half-made .venv has no stamp and is mended; one that cannot run pip is made anew.
$(READY): pyproject.toml constraints.txt
	@set -e; \
	if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then \
	    found=; \
	    for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python3.14 python); do \
	        if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; then \
	            found=$$python; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "error: no Python 3.11 or newer found ($(or $(PYTHON),python3.11 ... python3));" \
	             "install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
	        exit 1; \
	    fi; \
	    echo "making $(VENV) with $$($$found --version); downloads about 1 GB once"; \
	    $$found -m venv --clear $(VENV) || { \
	        echo "error: $$found cannot make a virtual environment;" \
	             "Debian and Ubuntu ship that part as the package python3-venv" >&2; exit 1; }; \
	fi; \
	echo "installing the versions of constraints.txt"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"; \
	touch $@

cartpole: $(READY) ## train our DQN on CartPole: the first success, within two minutes
	$(BIN)/python -m agents.dqn --env CartPole $(ARGS)

pong: $(READY) ## train our DQN on Pong from pixels, watched in Weights & Biases
	$(BIN)/python -m agents.dqn --env Pong $(ARGS)

play: $(READY) ## watch a packed policy of ours win at Pong: score, and a film with its action values
	$(BIN)/python -m agents.play models/pong.rlz --episodes 1 $(ARGS)

results: $(READY) ## make tables and figures of README.md and docs/ anew from results/*.csv
	$(BIN)/python -m agents.results $(ARGS)

# In this order, cheapest first, also under make -j.
check: $(READY) ## before a commit: format check, lint, types, quick tests (at most 90 s on 2 quiet cores)
	@$(MAKE) --no-print-directory format-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory unit ARGS='$(WHOLE) $(QUICK) $(ARGS)'

test: $(READY) ## what CI runs: format check, lint, types, all tests but the longest variants
	@$(MAKE) --no-print-directory format-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory unit ARGS='$(WHOLE) -m "not long" $(ARGS)'

test-all: $(READY) ## the tests with their longest variants (half an hour on two slow cores)
	@$(MAKE) --no-print-directory unit ARGS='$(WHOLE) $(ARGS)'

format-check: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

# Processes that tests start take one thread each, as the tests do.
unit: $(READY) ## only the tests;  make unit ARGS="-k replay"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

same-weights: $(READY) ## show that a change leaves what is learned as it was;  make same-weights BASE=HEAD~1
	OMP_NUM_THREADS=1 $(BIN)/python tests/same_weights.py --base $(BASE) $(ARGS)

format: $(READY) ## format, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Without local version suffixes (torch's +cpu) and without torch's own CUDA packages, which torch pins itself.
lock: $(READY) ## write the installed versions into constraints.txt
	@{ echo "# Every version that make installs. Written by make lock, never by hand."; \
	   { $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip; printf '%s\n' $(OPTIONAL); } \
	   | grep -vE '^(cuda-|nvidia-|triton)' | sed -E 's/\+[A-Za-z0-9.]+$$//' | sort -fu; } > constraints.txt

clean: ## remove .venv and caches; runs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
