# Each target does all the set-up that it needs. On Debian 12 as root, or as a user with sudo.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
DEBS := python3-venv iproute2 nftables mmdebstrap openssh-client openssl util-linux git
ARGS ?=

.PHONY: demo dev doctor bench test check lint types format lock clean setup system browser help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: setup ## the main job on this machine: issue, swarm, pull request, live preview
	@$(SUDO) $(BIN)/swarm-bot demo $(ARGS)

dev: setup ## all stand-ins, web and worker on this machine, until Ctrl-C
	@$(SUDO) $(BIN)/swarm-bot dev $(ARGS)

doctor: setup ## what this machine and the configuration lack, and the cure
	@$(SUDO) $(BIN)/swarm-bot doctor

bench: setup $(VENV)/.bench ## how fast it is, in under 12 minutes: a table, bench-out/bench.png and bench.json
	@$(SUDO) $(BIN)/swarm-bot bench --short $(ARGS)

test: setup browser $(VENV)/.bench ## the whole test suite, in two processes unless ARGS says otherwise
	@$(SUDO) $(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n 2 --dist loadfile)

check: setup lint types ## ruff, mypy --strict, the architecture test; every test can be collected
	@$(BIN)/python -m pytest -q tests/test_architecture.py
	@$(BIN)/python -m pytest -q --collect-only >/dev/null || { $(BIN)/python -m pytest -q --collect-only | tail -n 40; exit 1; }

lint: $(VENV)/.done
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.done
	@$(BIN)/mypy

format: $(VENV)/.done ## rewrite the code as ruff wants it
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

setup: system $(VENV)/.done

# Debian packages, only if one is missing: a second run asks nobody for anything.
system:
	@missing=""; for p in $(DEBS); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "This needs Debian's packages:$$missing. Install them by hand, then run make again." >&2; exit 1; }; \
	  echo "installing$$missing"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

browser:
	@dpkg-query -W chromium fonts-noto-color-emoji >/dev/null 2>&1 || { echo "installing chromium and its emoji for the browser test"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends chromium fonts-noto-color-emoji >/dev/null; }

$(VENV)/.done: requirements.lock pyproject.toml | system
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What only the picture of the bench needs.
$(VENV)/.bench: requirements-bench.lock $(VENV)/.done
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

lock: ## resolve the dependencies anew into requirements.lock and requirements-bench.lock (needs uv)
	uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --group dev pyproject.toml -o requirements.lock
	echo matplotlib | uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --constraints requirements.lock - -o requirements-bench.lock

clean: ## the virtual environment and the cache folder of the local machines
	@cache="$${SWARM_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/swarm-build}"; echo "removing $(VENV) and $$cache"; $(SUDO) rm -rf --one-file-system "$$cache" $(VENV)
