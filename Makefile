# `make help` lists the targets. Each one does its own set-up: Python 3.11 to 3.13 and make are all it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/pip install -qq --disable-pip-version-check
SECONDS ?= 300
PYTEST_ARGS ?=
COMPILED := $(VENV)/compiled
COMPILED_TESTS := tests/unit/http tests/unit/queueproxy tests/unit/policy tests/unit/telemetry tests/fuzz/http \
	tests/integration/http_engine $(addprefix tests/integration/,test_queueproxy_*.py test_http2_*.py) \
	tests/integration/test_conformance_queueproxy.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint unit golden integration chart fuzz bench bench-activator bench-autoscaler bench-gateway bench-control-plane bench-simulate soak load chaos wheel test-compiled fmt docs crds clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Upwell needs Python 3.11 to 3.13, this is %d.%d. Try: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) …"
	@$(PIP) -e .
	@touch $@

$(STAMP): $(RUNTIME)
	@echo "installing the tools for development …"
	@$(PIP) -e '.[dev]'
	@touch $@

setup: $(STAMP) ## make .venv and install

demo: $(RUNTIME) ## from zero to N and back, on this machine
	$(BIN)/upwell demo $(DEMO_ARGS)

test: lint unit golden integration fuzz ## everything CI runs

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP) ## pure logic, under a minute
	$(BIN)/pytest tests/unit -n 2 $(PYTEST_ARGS)

golden: $(STAMP) ## recorded outcomes of the reference (UPWELL_GOLDEN names their folder)
	$(BIN)/pytest tests/golden -n 2 $(PYTEST_ARGS)

integration: $(STAMP) ## real processes, real sockets
	$(BIN)/pytest tests/integration -n 2 --dist loadfile $(PYTEST_ARGS)

chart: $(STAMP) ## the Helm chart: lint, every combination of values, Kubernetes' types, the docs (part of unit)
	$(BIN)/pytest tests/unit/chart -n 2 $(PYTEST_ARGS)

fuzz: $(STAMP) ## hypothesis with fixed seeds
	$(BIN)/pytest tests/fuzz -n 2 $(PYTEST_ARGS)

bench: $(STAMP) ## every figure of the queue-proxy beside its target, HAProxy and nghttpx; five minutes
	$(BIN)/python -m bench.queueproxy $(BENCH_ARGS)

bench-activator: $(STAMP) ## the activator warm, cold, crowded and idle, beside its targets and HAProxy; five minutes
	$(BIN)/python -m bench.activator $(BENCH_ARGS)

bench-autoscaler: $(STAMP) ## what deciding, collecting, scraping and waking cost, beside their targets
	$(BIN)/python -m bench.autoscaler $(BENCH_ARGS)

bench-gateway: $(STAMP) ## the gateway beside HAProxy with the same routes, and what changes of them cost; five minutes
	$(BIN)/python -m bench.gateway $(BENCH_ARGS)

bench-control-plane: $(STAMP) ## a Service from kubectl apply to Ready, a thousand at once, and what they cost at rest; six minutes
	$(BIN)/python -m bench.control_plane $(BENCH_ARGS)

bench-simulate: $(STAMP) ## an hour at 1,000 requests/s, and a day of many functions, through `upwell simulate`
	$(BIN)/python -m bench.simulate $(BENCH_ARGS)

soak: $(STAMP) ## random faults through one queue-proxy for SECONDS (300); exit 1 if anything grows or is logged
	$(BIN)/python -m bench.soak --seconds $(SECONDS) $(SOAK_ARGS)

load: $(STAMP) ## locust scenarios against the local platform, headless, bounded
	$(BIN)/python -m bench.load $(LOAD_ARGS)

chaos: $(STAMP) ## kill processes under load for SECONDS (300); exit 1 if a safe request was lost
	$(BIN)/python -m bench.chaos --seconds $(SECONDS) $(CHAOS_ARGS)

wheel: $(STAMP) ## a wheel for this machine in dist/, with the path of a request compiled (a minute or two)
	rm -rf build
	UPWELL_COMPILE=1 $(BIN)/pip wheel -q --disable-pip-version-check --no-deps -w dist .
	rm -rf build

test-compiled: wheel ## the engine's and the queue-proxy's tests against that wheel, in an environment of its own
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	$(PYTHON) -m venv $(COMPILED)/venv
	$(COMPILED)/venv/bin/pip install -qq --disable-pip-version-check "$$(ls -t $(CURDIR)/dist/upwell-*.whl | head -1)[dev]"
	cp -r tests bench examples charts pyproject.toml $(COMPILED)
	cd $(COMPILED) && venv/bin/python -c 'from tests.compiled import COMPILED; assert COMPILED'
	cd $(COMPILED) && UPWELL_CONFORMANCE=$${UPWELL_CONFORMANCE:-$(CURDIR)/../shared/conformance/queueproxy} \
		venv/bin/pytest -n 2 --dist loadfile $(COMPILED_TESTS) $(PYTEST_ARGS)

fmt: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## write the pages that are made from the code
	$(BIN)/python -m upwell.cli.reference > docs/reference/cli.md
	$(BIN)/python -m charts.reference > docs/reference/chart.md

crds: $(STAMP) ## write the definitions of Knative's kinds, charts/upwell/crds, from the types
	$(BIN)/python -m upwell.api.crd_files charts/upwell/crds

clean: ## remove .venv, caches and what runs left behind
	rm -rf $(VENV) .upwell build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/out
