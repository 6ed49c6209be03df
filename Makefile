# `make` lists the verbs. Each first installs what it needs into .venv, from a hashed lock, and only once:
# while locks and pyproject.toml stay as they are, nothing is installed and nothing is asked of the network.
#
#   ARGS="…"    is handed on to the program that the verb runs:  make test ARGS="-n 2 -k retry"
#   PYTHON="…"  interpreters to try, in this order; the first that runs and is new enough makes .venv

PYTHON = python3.14 python3.13 python3.12 python3.11 python3 python
ARGS =

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults defects lint types check bench report-card peers coverage lock clean
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

# What the caller's shell has set up for other projects stays out of this one. Nor are the hundreds of processes
# that tests start to compile everything anew, each for itself.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tools are run as `$(python) -m tool`: their own scripts break when the folder is moved.
python := .venv/bin/python
say = @printf '→ %s\n'

# .venv/ready-SET-CHECKSUM: that set is installed here, from these files.
checksum = $(shell { pwd; cat pyproject.toml requirements-$(1).lock; } 2>/dev/null | cksum | cut -d ' ' -f 1)
demo_ready := .venv/ready-demo-$(call checksum,demo)
test_ready := .venv/ready-test-$(call checksum,test)
dev_ready := .venv/ready-dev-$(call checksum,dev)

# --- Verbs -------------------------------------------------------------------------------------------------

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(demo_ready) ## see it work on an embedded queue; no server needed
	$(say) 'Running the demo'
	@$(python) -m asyncqueue demo $(ARGS)

test: $(test_ready) ## run the tests
	$(say) 'Running the tests'
	@$(python) -m pytest -n auto --dist worksteal $(ARGS)

test-faults: $(test_ready) ## kill, stop and cut off real processes and servers; some 13 minutes
	$(say) 'Running the tests under faults'
	@$(python) -m pytest -n auto --dist worksteal -m faults $(ARGS)

defects: $(test_ready) ## put mistakes in by hand, one at a time: the tests must notice each
	$(say) 'Hunting mistakes of a store'
	@$(python) -m pytest -n auto --dist worksteal -m hunts
	$(say) 'Running the tests against mistakes'
	@$(python) -m tests.defects $(ARGS)

lint: $(dev_ready) ## check style, formatting, the layering rule and the page that the tests write
	$(say) 'Checking style (ruff check)'
	@$(python) -m ruff check
	$(say) 'Checking formatting (ruff format)'
	@$(python) -m ruff format --check
	$(say) 'Checking layers (import-linter)'
	@$(python) -c 'from importlinter.cli import lint_imports_command as run; run()' --no-logo --no-cache
	$(say) 'Checking which tests prove what (docs/reference/behaviour.md)'
	@$(python) -m tests.behaviour_page --check

types: $(dev_ready) ## check the library's types, and what they tell its users
	$(say) 'Checking types (basedpyright)'
	@$(python) -m basedpyright --project pyproject.toml
	$(say) 'Checking types as users see them (mypy)'
	@$(python) -m mypy

check: lint types ## lint, then types

bench: $(test_ready) ## run the benchmarks
	$(say) 'Running the benchmarks'
	@$(python) -m benchmarks $(ARGS)

report-card: $(test_ready) ## what faults do to jobs, measured; some ten minutes
	$(say) 'Measuring under faults'
	@$(python) -m benchmarks.reliability $(ARGS)

peers: $(test_ready) ## measure other libraries beside this one: ARGS=redis or ARGS=postgres
	$(say) 'Running the benchmarks of the peers'
	@$(python) -m benchmarks.peers $(ARGS)

coverage: $(test_ready) ## run the tests and show the lines and branches they miss
	$(say) 'Running the tests under coverage'
	@$(python) -m coverage erase
	@$(python) -m coverage run -m pytest $(ARGS)
	@$(python) -m coverage combine --quiet
	@$(python) -m coverage report

# The dev lock is resolved first and holds everything; the other two are parts of it. Hashes, no addresses.
resolve = echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(ARGS) pyproject.toml -

lock: ## rewrite the locks after a change of dependencies (needs uv; newest of all: ARGS=--upgrade)
	@uv --version >/dev/null 2>&1 || { echo 'make lock needs uv: pip install uv' >&2; exit 1; }
	$(say) 'Resolving requirements-dev.lock, requirements-test.lock and requirements-demo.lock'
	@$(resolve) --extra demo --extra test --extra lint -o requirements-dev.lock >/dev/null
	@$(resolve) --extra test -c requirements-dev.lock -o requirements-test.lock >/dev/null
	@$(resolve) --extra demo -c requirements-dev.lock -o requirements-demo.lock >/dev/null
	@! grep -n '://' requirements-*.lock || { echo 'Addresses do not belong in a lock.' >&2; exit 1; }

clean: ## remove .venv, caches, coverage data and built packages
	$(say) 'Removing .venv, caches, coverage data and built packages'
	@rm -rf .venv dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find asyncqueue tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || :

# --- Setting up --------------------------------------------------------------------------------------------

# uv where it is and works, else pip, which then says what is wrong. A version manager's stand-in can be on
# PATH and still fail, for uv as for python, so neither counts before it has run.
install = uv pip install --quiet --python $(python) $(1) 2>/dev/null || $(python) -m pip install -qq $(1) || \
  { echo 'Not installed. Can pip reach its package index? More: $(python) -m pip install $(1)' >&2; exit 1; }

$(demo_ready): set := demo
$(test_ready): set := test
$(dev_ready): set := dev
$(demo_ready) $(test_ready) $(dev_ready): | $(python)
	$(say) 'Installing requirements-$(set).lock into .venv'
	@$(call install,--require-hashes --requirement requirements-$(set).lock)
	@$(call install,--no-deps --no-build-isolation --editable .)
	@rm -f .venv/ready-$(set)-* && touch $@

# Debian packs ensurepip apart from Python, so an interpreter that has it is preferred to one that has not.
$(python):
	@chosen=; bare=; \
	for candidate in $(PYTHON); do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
	  bare=$${bare:-$$candidate}; \
	done; \
	if [ -z "$$chosen$$bare" ]; then \
	  echo 'Python 3.11 or newer is needed, and none of these is it: $(PYTHON)' >&2; exit 1; \
	fi; \
	path=$$("$${chosen:-$$bare}" -c 'import sys; print(sys.executable)'); \
	printf '→ Making .venv with %s (%s)\n' "$$path" "$$("$$path" --version)"; \
	rm -rf .venv && uv venv --quiet --seed --python "$$path" .venv 2>/dev/null && exit; \
	rm -rf .venv && [ -n "$$chosen" ] && "$$path" -m venv .venv && exit; \
	rm -rf .venv; \
	echo "$$path cannot make a virtual environment: apt-get install python3-venv, or pip install uv" >&2; exit 1
