# `make` tells what there is. Every target sets up what it needs first, and only once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GIVEN := $(filter environment command,$(firstword $(origin PYTHON)))
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(if $(shell command -v $(name)),$(name))))
BIN := .venv/bin
# Major and minor version: of .venv's own Python as long as that works, unless another one is asked for.
VERSION = import sys; print("%d.%d" % sys.version_info[:2])
FOUND := $(shell $(BIN)/python -c '$(VERSION)' 2> /dev/null)
WANTED := $(if $(and $(FOUND),$(if $(GIVEN),,x)),$(FOUND),$(if $(PYTHON),$(shell $(PYTHON) -c '$(VERSION)')))
PORT = 7071
URL = http://127.0.0.1:$(PORT)
DATA =
STATE =
HOST = devhost
SEED =
KILLS = 25
WORKER_KILLS = 1
WORKERS ?= 2
BICEP ?= $(firstword $(shell command -v bicep) $(wildcard $(HOME)/.azure/bin/bicep ../shared/tools/bicep))

.PHONY: help setup demo start docs pages raw-pages check test screenshots test-all trace soak bench-cold-start bench-devhost chaos bench-exports bench-paging bench-polling bench-tables infra rehearse package lock smoke attack bench-package bench-export bench-convert bench-mapped bench-cliffs bench-calls bench-scale fuzz format clean

help: ## this list
	@echo "usage: make TARGET [NAME=value]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

setup: .venv/.installed node_modules/.installed ## .venv and node_modules; quiet when all is there
	@:

demo: setup ## all ten export types end to end, every number checked; DATA=folder: your own raw data
	@$(BIN)/python -m demo $(if $(DATA),--data "$(DATA)")

start: setup ## the app until Ctrl-C; PORT=7071 DATA=folder STATE=folder HOST=devhost|func
	@$(BIN)/python -m localdev.start --port $(PORT) --host $(HOST) \
		$(if $(DATA),--data "$(DATA)") $(if $(STATE),--state "$(STATE)")

trace: setup ## one export's timeline: ID=… [URL=http://127.0.0.1:7071]
	@$(if $(ID),,echo "which export? make trace ID=…" >&2; exit 2)
	@$(BIN)/mobexport trace "$(ID)" --url "$(URL)"

check: setup ## lint, types, unit and replay tests; about a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n $(WORKERS) -m "not azurite and not node and not browser and not slow and not long"

test: setup ## everything that needs no network, storage emulator and Chromium (if it is there) included; five to eight minutes
	@$(BIN)/pytest -q -n $(WORKERS) -m "not slow"

screenshots: setup ## the pictures of docs/status-page.md, by the tests that look at the pages
	@SCREENSHOTS=docs/images $(BIN)/pytest -q -m browser tests/browser -k everybody

test-all: setup ## the slow tests as well
	@$(BIN)/pytest -q -n $(WORKERS)

bench-cold-start: setup ## cost of importing the app, beside the SDKs alone
	@$(BIN)/python benchmarks/cold_start.py

bench-devhost: setup ## devhost's speed: start, orchestrations a second, idle timers, memory; 5 minutes
	@$(BIN)/python devhost/benchmarks/speed.py

chaos: setup ## kill devhost and its worker, at every commit and at random moments, check every result; SEED= KILLS=25
	@PYTHONPATH=devhost/tests/support $(BIN)/python -m chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED))

bench-export: setup ## the Export API's writer beside plain Python, its floor and bare transfer; EVENTS=500000
	@$(BIN)/python -m benchmarks.export --events $(or $(EVENTS),500000)

bench-convert: setup ## the pipeline's converter beside DuckDB, Polars, pandas and pyarrow; EVENTS=500000
	@$(BIN)/python -m benchmarks.convert --events $(or $(EVENTS),500000)

bench-mapped: setup ## the Export API's writer over mapped raw data, beside unmapped; EVENTS=300000
	@$(BIN)/python -m benchmarks.mapped --events $(or $(EVENTS),300000)

bench-cliffs: setup ## odd input beside ordinary input of the same size; MB=15
	@$(BIN)/python -m benchmarks.cliffs --mb $(or $(MB),15)

bench-calls: setup ## status calls that come at the same moment, on one instance; CALLS=400
	@$(BIN)/python -m benchmarks.calls --calls $(or $(CALLS),400)

bench-scale: setup ## what 1 to 1,000 GB a day need, by a model over measured figures
	@$(BIN)/python -m benchmarks.scale

fuzz: setup ## readers of lines, elements, CSV, gzip and Parquet against any bytes; EXAMPLES=3000
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),3000) $(BIN)/pytest -q -n $(WORKERS) tests/records/test_fuzz.py tests/records/test_neighbours.py

bench-paging: setup ## time of a page of 10,000 export tasks
	@$(BIN)/python -m benchmarks.paging

soak: setup ## 6 types by 20 days and the snapshots, with random kills and faults; SEED= DAYS=20 KILLS=25 WORKER_KILLS=1 LOSSES=1
	@$(BIN)/python -m benchmarks.soak --days $(or $(DAYS),20) --kills $(KILLS) \
		$(if $(filter 0,$(WORKER_KILLS)),--no-worker-kills) \
		$(if $(filter 0,$(LOSSES)),--no-losses) \
		$(if $(SEED),--seed $(SEED))

attack: setup ## hostile Export APIs, targets, key server, storage, callers against the running app; SEED= SHORT=1 PEER=
	@PYTHONPATH=tests/support $(BIN)/python -m benchmarks.attack $(if $(SEED),--seed $(SEED)) \
		$(if $(SHORT),--short) $(if $(PEER),--peer $(PEER))

bench-tables: setup ## a commit to a Delta table of 3 years, its checkpoint, vacuum, compaction; FILES=10000
	@$(BIN)/python -m benchmarks.tables --files $(or $(FILES),10000)

bench-polling: setup ## a 12-hour job polled through the real SDK, beside a fixed loop; HOURS=12
	@PYTHONPATH=tests/support $(BIN)/python -m benchmarks.polling --hours $(or $(HOURS),12)

bench-exports: setup ## 60 small exports as a batch: exports a minute, CPU, calls, memory; COUNT=60
	@$(BIN)/python -m benchmarks.exports $(if $(COUNT),--count $(COUNT))

infra: setup ## the Azure templates and hooks: compiler, linter, policies, snapshots; BICEP=path of the compiler
	@test -n "$(BICEP)" \
		|| { echo "The Bicep compiler is needed: az bicep install, or BICEP=path" >&2; exit 1; }
	@BICEP="$(BICEP)" $(BIN)/pytest -q -n $(WORKERS) tests/infra --ignore tests/infra/test_rehearsal.py

rehearse: setup ## the whole deployment against doubles of az and azd that refuse what Azure refuses; BICEP=path
	@test -n "$(BICEP)" \
		|| { echo "The Bicep compiler is needed: az bicep install, or BICEP=path" >&2; exit 1; }
	@BICEP="$(BICEP)" $(BIN)/pytest -v -n $(WORKERS) tests/infra/test_rehearsal.py

package: setup ## dist/app.zip, for deployment
	@$(BIN)/python -m scripts.package

lock: setup ## requirements.txt from requirements.in; ARGS=--upgrade for the newest of everything
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --quiet --output-file requirements.txt $(ARGS)

docs: .venv/.docs ## the docs as a site in build/site; strict: warnings, dead links and other hosts fail
	@rm -rf build/site
	@$(BIN)/python -m sphinx -q -W --keep-going -E -c scripts/docs_site -d build/doctrees . build/site
	@$(BIN)/python -m scripts.docs_site.check build/site

pages: setup raw-pages ## every page, and part of a page, that is made from the code
	@$(BIN)/python -m scripts.command_page > /dev/null
	@$(BIN)/python -m scripts.http_page

raw-pages: setup ## the generated parts of docs/raw-data.md and docs/mappings.md
	@$(BIN)/python -m scripts.raw_pages

smoke: setup ## one export against a running app: URL=https://… APP=… [DAY=2025-03-23]; key in SMOKE_FUNCTION_KEY
	@$(BIN)/python -m scripts.smoke "$(URL)" $(if $(APP),--app "$(APP)") $(if $(DAY),--day "$(DAY)")

bench-package: setup ## size and start-up cost of the deployed package, wheel by wheel
	@$(BIN)/python -m benchmarks.package

format: setup ## format the code and apply safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the leftovers of demo, start and the tools; not .venv and node_modules
	rm -rf .run .devhost .devhost.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml requirements.in devhost/pyproject.toml .venv/.python-$(WANTED)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./devhost -e '.[dev]'
	@touch $@

.venv/.docs: .venv/.installed
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

# Made anew when its Python has changed: packages lie in a folder with the version in its name.
.venv/.python-$(WANTED):
	@$(if $(PYTHON),,echo "Python 3.11 or 3.12 is needed, and there is no python3 on the PATH" >&2; exit 1)
	@case "$(WANTED)" in 3.11|3.12) ;; *) \
		echo "Python 3.11 or 3.12 is needed, as the Functions SDK has it; $(PYTHON) is $(WANTED). Set PYTHON=…" >&2; exit 1;; esac
	@if [ "$(FOUND)" != "$(WANTED)" ] || [ ! -d .venv/lib/python$(WANTED) ]; then \
		echo "Setting up .venv ($$($(PYTHON) -V)) …"; \
		rm -rf .venv; \
		$(PYTHON) -m venv .venv \
			|| { echo "could not make .venv; on Debian and Ubuntu install python3-venv" >&2; exit 1; }; \
	fi
	@touch $@

node_modules/.installed: package.json package-lock.json
	@command -v npm > /dev/null \
		|| { echo "Node.js with npm is needed for Azurite, the storage emulator: https://nodejs.org" >&2; exit 1; }
	@echo "Installing Azurite …"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
