# Needs make and a Python of 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

# Worker processes for the test run: one more than two cores, for they wait a third of their time for
# processes that they have started.
JOBS ?= 3

title = @printf '\n== %s ==\n' "$(1)"

# Without bytecode each of the many processes that the tests start would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help test tests cover lint docs pictures deep conformance patients field bench museum demo release clean .venv

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv: .venv/installed

.venv/installed: pyproject.toml | .venv/made
	$(call title,install into .venv)
	@# --group needs pip 25.1, newer than the one that comes with most Pythons.
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch .venv/demo $@

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'wavetank needs Python 3.11 or newer; name one with: make PYTHON=python3.11'; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

# The example needs a tenth of what the tests need.
.venv/demo: pyproject.toml | .venv/made
	$(call title,install what the demo needs into .venv)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["demo"], \
	  sep="\n")' >.venv/demo.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable . -r .venv/demo.txt
	@touch $@

test: .venv  ## lint, types, import arrows, tests, docs side by side: the one check
	@$(MAKE) --no-print-directory -j2 tests lint docs

tests: .venv  ## the tests alone
	$(call title,tests)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

# They make many runs or start many processes and reach little that is new: the coverage tracer would
# only slow them down.
SEARCHES := tests/museum tests/processors tests/quality \
  tests/cli/test_cli_explore.py tests/plugin/test_plugin_surface.py tests/provider/test_dialects_matrix.py \
  tests/run/test_kills.py tests/strategies/test_strategies_stateful.py tests/strategies/test_strategies_worlds.py \
  tests/sim/test_sim_ends.py tests/sim/test_sim_exhaustive.py tests/sim/test_sim_order.py tests/sim/test_sim_policies.py

cover: .venv  ## the tests with coverage, which takes twice as long, and its report
	$(call title,tests with coverage)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(JOBS) --dist loadgroup $(SEARCHES:%=--ignore=%)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: .venv  ## ruff, mypy, import-linter
	$(call title,ruff)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	$(call title,mypy)
	@$(BIN)/mypy
	$(call title,import arrows)
	@$(BIN)/lint-imports --no-logo

docs: .venv  ## build build/docs and run the examples in the pages
	$(call title,docs)
	@$(BIN)/sphinx-build -W --keep-going -n -q -d build/doctrees -b html docs build/docs
	@$(BIN)/sphinx-build -W --keep-going -n -q -d build/doctrees -b doctest docs build/doctest

# Seconds that each fuzzer of tests/fuzz goes on in the deep tests.
FUZZ_SECONDS ?= 60

pictures: .venv  ## draw the pictures of the pages in docs/pictures; needs chromium
	$(call title,pictures)
	@$(BIN)/python docs/make_pictures.py

deep: .venv  ## the tests with many more generated examples, and the fuzzers; takes long
	$(call title,deep tests)
	@WAVETANK_DEEP=1 WAVETANK_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

# Orders in which each of those tests is run, and the levels, all if empty.
SEEDS ?= 3
LEVELS ?=

conformance: .venv  ## run the tests of anyio, trio and asyncio on our engines; downloads anyio's, takes long
	$(call title,tests of others)
	@$(BIN)/python -m pip install --quiet pytest-mock pytest-timeout trustme psutil
	@$(BIN)/python tests/conformance/run.py $(SEEDS) $(LEVELS)

patients:  ## put released packages under the catalogue, write docs/patients.md; downloads them
	$(call title,patients)
	@$(PYTHON) -m venv build/patients
	@build/patients/bin/python -m pip install --quiet --upgrade pip
	@build/patients/bin/python -m pip install --quiet --editable .
	@# One by one: the page says which of them could not be had.
	@sed '/^#/d' examples/patients/requirements.txt | while read -r package; do \
	  build/patients/bin/python -m pip install --quiet --upgrade "$$package" || true; done
	@build/patients/bin/python examples/patients/run.py

# Names of groups of field/packages.toml; empty: all.
GROUPS ?=

field:  ## run released packages, each with a program of its own, write docs/works-with.md; downloads them
	$(call title,field)
	@$(PYTHON) field/run.py $(GROUPS)

bench: .venv build/peers/installed build/museum/installed  ## run every benchmark
	@for file in benchmarks/*.py; do \
	  name=$${file##*/}; printf '\n== %s ==\n' "$$file"; \
	  $(BIN)/python -m benchmarks.$${name%.py} || exit 1; done

# The tools that the benchmarks compare with; one that cannot be installed is left out.
PEERS := detangle simloop simloom frontrun async-solipsism looptime trio llmock async-batch-llm \
  aimd-limiter adaptio tenacity aiolimiter

# One of them is a program for Node.
NODE_PEER := @copilotkit/aimock

build/peers/installed: .venv/installed
	$(call title,install the other tools into build/peers)
	@$(BIN)/python -m venv build/peers
	@build/peers/bin/python -m pip install --quiet anyio --editable .
	@for peer in $(PEERS); do \
	  build/peers/bin/python -m pip install --quiet $$peer || echo "left out: $$peer"; done
	@npm install --silent --ignore-scripts --prefix build/peers/node $(NODE_PEER) || \
	  echo "left out: $(NODE_PEER)"
	@touch $@

# simloop and simloom need Python 3.12: without one they are left out.
MUSEUM_PYTHON ?= $(or $(firstword $(foreach version,12 13 14,\
  $(shell python3.$(version) -c 'print("python3.$(version)")' 2>/dev/null))),$(BIN)/python)
MUSEUM_PEERS := detangle simloop simloom frontrun

build/museum/installed: .venv/installed
	$(call title,install wavetank and the other tools into build/museum)
	@$(MUSEUM_PYTHON) -m venv build/museum
	@build/museum/bin/python -m pip install --quiet --upgrade pip
	@build/museum/bin/python -m pip install --quiet --editable '.[fleet]' httpx redis
	@for peer in $(MUSEUM_PEERS); do \
	  build/museum/bin/python -m pip install --quiet $$peer || echo "left out: $$peer"; done
	@touch $@

museum: .venv build/museum/installed  ## search every specimen, here and with other tools, and write the tables
	$(call title,museum)
	@$(BIN)/python -m benchmarks.museum_table --page docs/detection.md --table docs/museum.md

demo: .venv/demo  ## a patient and a hasty client meet the cascade scenario
	$(call title,demo)
	@$(BIN)/python -m pytest examples/demo --llm-scenario=cascade --llm-report=on --llm-report-dir=build/demo
	@printf '(to paste the line that repeats it, first: source %s/activate)\n' '$(BIN)'

release: .venv  ## build a release, check it and try it in a new environment; uploads nothing
	$(call title,release)
	@$(BIN)/python .ci/release.py

clean:  ## remove what the other targets made
	@rm -rf .venv build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
