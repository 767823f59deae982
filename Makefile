# Two commands do everything on a fresh machine: `make results` and `make test`.
# PYTHON chooses the interpreter (3.11 to 3.13); CORES and GPUS what the study may use; DEVICE, FROM and
# TO are for the targets that name them.
PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
CORES ?= all
GPUS ?=
DEVICE ?= h100
FROM ?= results/reference/local
TO ?= results/rebuilt
BIN := $(VENV)/bin

.PHONY: results test test-faults lint smoke paper-plan paper-cost reference rebuild schema clean
.PHONY: bench bench-machine bench-step bench-width bench-gpu bench-data bench-workflow
.DELETE_ON_ERROR:

results: $(VENV)/.ready ## the local study: tables, figures and report in results/local/
	$(BIN)/snakemake --cores $(CORES) $(if $(GPUS),--resources gpu=$(GPUS))

test: $(VENV)/.ready-dev ## every test, the smoke study end to end included
	$(BIN)/python -m pytest

test-faults: $(VENV)/.ready-dev ## the fault tests in full (about an hour); their table goes into docs/
	$(BIN)/python -m pytest tests/faults --faults full --fault-report docs/reliability-figures.md

lint: $(VENV)/.ready-dev ## style, types, workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile pipeline/rules
	$(BIN)/snakemake --lint --configfile workflow/configs/smoke.yaml

smoke: $(VENV)/.ready ## tiny random models through the whole workflow, in results/smoke/
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/smoke.yaml

paper-plan: $(VENV)/.ready ## what the paper study would run, without running it
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/paper.yaml --dry-run --quiet rules

bench: bench-machine bench-step bench-width bench-gpu bench-data bench-workflow ## every benchmark, beside the peers; see docs/performance.md

bench-machine: $(VENV)/.ready ## products and copies alone, from which the floors are derived
	$(BIN)/python -m benchmarks.machine

bench-step: $(VENV)/.ready $(PEERS)/.ready ## a training step beside SAELens and dictionary_learning
	$(BIN)/python -m benchmarks.step --peers $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.step --peers $(PEERS)/bin/python --threads 1

bench-width: $(VENV)/.ready ## what a step costs at larger widths
	$(BIN)/python -m benchmarks.width --threads 1

bench-gpu: $(VENV)/.ready ## the same step on a GPU, where there is one
	$(BIN)/python -m benchmarks.gpu_step

bench-data: $(VENV)/.ready ## the stream, the dump and the evaluation of a cell
	$(BIN)/python -m benchmarks.stream
	$(BIN)/python -m benchmarks.dump --model smollm2-135m
	$(BIN)/python -m benchmarks.dump --model gemma3-270m
	$(BIN)/python -m benchmarks.evaluation

bench-workflow: $(VENV)/.ready-dev ## a plan, the start of a cell, tables and figures; jobs against threads
	$(BIN)/python -m benchmarks.workflow
	$(BIN)/python -m benchmarks.threads

paper-cost: $(VENV)/.ready ## device-hours, tokens and disk of the paper study; DEVICE of workflow/rates.yaml
	$(BIN)/python -m pipeline cost --configfile workflow/configs/paper.yaml --device $(DEVICE)

reference: $(VENV)/.ready ## run the reference study and keep what can be committed in results/reference/local
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/reference.yaml synthetic
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/reference.yaml
	$(BIN)/python -m pipeline publish --configfile workflow/configs/reference.yaml --out results/reference/local

rebuild: $(VENV)/.ready ## tables, figures, claims and report of FROM again in TO, from its metrics alone
	$(BIN)/python -m pipeline rebuild --from $(FROM) --out $(TO)

schema: $(VENV)/.ready ## the configuration's JSON schema, from the code
	$(BIN)/python -m pipeline schema workflow/configs/schema.json

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[workflow,demo]'
	touch $@

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[workflow,demo,dev]'
	touch $@ $(VENV)/.ready

$(PEERS)/.ready: benchmarks/peers-requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean: ## remove the environments, never results
	rm -rf $(VENV) $(PEERS)
