# Everything from nothing but Python 3.11 or newer and make: each target makes the virtual environment it needs, in .venv/.
#   make test PYTHON=python3.13        another Python
#   make test PYTEST_ARGS="-k inbox"   arguments for pytest
#   make bench BENCH_ARGS="--json ratios.json"

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
JOBS ?= auto
PYTEST_ARGS ?=
BENCH_ARGS ?=

ifeq ($(strip $(PYTHON)),)
$(error Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.13 ...)
endif

# $(call with,GROUP,ARGUMENTS): run Python with ARGUMENTS in the environment of the dependency group GROUP.
with = @python=$$($(PYTHON) tools/environment.py $(1)) && exec "$$python" $(2)

.PHONY: help demo test test-full lint format facade bench docs clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 18

demo: ## A small SaaS with plans, checkout and limits, in the browser
	$(call with,demo,-m demo)

test: ## All tests, on every database server found
	$(call with,test,-m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS))

test-full: ## The long tests too
	$(call with,test,-m pytest -n $(JOBS) --dist loadgroup --full $(PYTEST_ARGS))

lint: ## Static checks
	$(call with,lint,tools/lint.py)

format: ## Let ruff mend what it can
	$(call with,lint,-m ruff check --fix-only --quiet .)
	$(call with,lint,-m ruff format .)

facade: ## Generate the blocking facade from the async one
	$(call with,lint,tools/facade.py)

bench: ## Benchmarks, each beside its baseline
	$(call with,bench,-m benchmarks $(BENCH_ARGS))

docs: ## The documentation, in docs/_build/html
	$(call with,docs,-m sphinx -W --keep-going -b html docs docs/_build/html)

clean: ## Remove what the other targets made
	rm -rf .venv docs/_build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
