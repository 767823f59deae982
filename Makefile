# Two commands do everything on a fresh machine: `make results` and `make test`. `make help` lists all.
# PYTHON is the interpreter (3.11 to 3.13). CORES and GPUS are what a study may use. FROM and TO belong to `rebuild`.
PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
CUDA ?= .venv-cuda
CUDA_PYTHON ?= python3.13 python3.12 $(PYTHON)
CORES ?= all
GPUS ?=
FROM ?= results/reference/local-reference
TO ?= results/rebuilt
BIN := $(VENV)/bin
# Three processes, also on two cores: a third of the time of fault tests is waiting.
SUITE = OMP_NUM_THREADS=1 SAGSAE_PEERS=$(PEERS)/bin/python $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder
# Without --no-compile, pip compiles every module of PyTorch, also those that nobody imports: half its time.
# Python keeps what it compiles at the first import, unless this variable of some containers forbids that:
# every job would then compile PyTorch again, and start in 6 s in place of 3.
INSTALL := -m pip install --quiet --no-compile --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE
PURELIB := import sysconfig; print(sysconfig.get_path("purelib"))

.PHONY: a-gpu help results smoke test test-all test-fast test-gpu test-slurm lint docs bench reference rebuild schema clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

results: $(VENV)/.ready ## the local study: tables, figures and report in results/local/
	$(BIN)/snakemake --cores $(CORES) $(if $(GPUS),--resources gpu=$(GPUS))

test: $(VENV)/.ready-dev $(PEERS)/.ready ## what a change can break, the smoke study end to end included
	$(SUITE) -m "not long"

test-all: $(VENV)/.ready-dev $(PEERS)/.ready $(CUDA)/.ready ## every test, and what a GPU would run: PyTorch for GPUs (3 GB), no GPU
	$(SUITE)
	OMP_NUM_THREADS=1 $(CUDA)/bin/python -m pytest tests/gpu

test-fast: $(VENV)/.ready-dev ## the tests of single parts, in under 90 seconds on two free cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not faults and not e2e" -n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder

a-gpu:
	@nvidia-smi -L || { echo "No GPU here: nothing was tested. Run make test-gpu on a machine with one."; exit 1; }

test-gpu: a-gpu $(VENV)/.ready-dev ## the first half hour on a GPU: tests, then a page of figures beside what is expected
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "PyTorch finds no GPU: nothing was tested. Is the PyTorch in .venv one for CUDA, and the driver new enough for it?")'
	$(BIN)/python -m pytest tests/gpu
	$(BIN)/python -m benchmarks.card
	$(BIN)/python -m benchmarks.dump --device cuda --batches 32 --rows 65536 --rounds 3
	$(BIN)/snakemake --cores all --resources gpu=1 --configfile workflow/configs/smoke.yaml --config device=cuda results=results-gpu
	$(BIN)/snakemake --cores all --resources gpu=2 --configfile workflow/configs/smoke.yaml --config device=cuda jobs_per_gpu=2 results=results-gpu-shared

test-slurm: $(VENV)/.ready-dev ## studies on a SLURM that it sets up for itself (needs Debian's slurm-wlm and munge); half an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/slurm --slurm -s

lint: $(VENV)/.ready-dev ## style, spelling, types, workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/analysis.smk workflow/rules

docs: $(VENV)/.ready-docs ## the documentation as a site, in site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

smoke: $(VENV)/.ready ## tiny random models through the whole workflow, in results/smoke/
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/smoke.yaml

bench: $(VENV)/.ready-dev $(PEERS)/.ready ## every benchmark, with other libraries beside ours; docs/performance.md names each
	$(BIN)/python -m benchmarks.machine
	$(BIN)/python -m benchmarks.step --peers $(PEERS)/bin/python
	$(BIN)/python -m benchmarks.step --peers $(PEERS)/bin/python --threads 1 --check
	$(BIN)/python -m benchmarks.paths --check
	$(BIN)/python -m benchmarks.families --peers $(PEERS)/bin/python --threads 1 --check
	$(BIN)/python -m benchmarks.width --threads 1
	$(BIN)/python -m benchmarks.trainings
	$(BIN)/python -m benchmarks.card
	$(BIN)/python -m benchmarks.stream
	$(BIN)/python -m benchmarks.dump --model smollm2-135m
	$(BIN)/python -m benchmarks.dump --model gemma3-270m
	$(BIN)/python -m benchmarks.evaluation
	$(BIN)/python -m benchmarks.dial
	$(BIN)/python -m benchmarks.workflow
	$(BIN)/python -m benchmarks.threads
	$(BIN)/python -m benchmarks.tracking

reference: $(VENV)/.ready ## run the reference study; copy what git keeps of it to results/reference/local-reference
	$(BIN)/snakemake --cores $(CORES) --configfile workflow/configs/reference.yaml
	$(BIN)/python -m pipeline publish --configfile workflow/configs/reference.yaml --out results/reference/local-reference

rebuild: $(VENV)/.ready ## make tables, figures, claims and report of FROM again, in TO, from its measures alone
	$(BIN)/snakemake --snakefile workflow/analysis.smk --cores $(CORES) --config measures=$(FROM)/measures out=$(TO)

schema: $(VENV)/.ready ## write the configuration's JSON schema from the code
	$(BIN)/python -m pipeline schema workflow/configs/schema.json

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) --editable '.[workflow,demo]'
	touch $@

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) --editable '.[workflow,demo,wandb,tensorboard,mlflow,s3,dev]'
	touch $@ $(VENV)/.ready

$(VENV)/.ready-docs: pyproject.toml | $(VENV)/.ready
	$(BIN)/python $(INSTALL) --editable '.[docs]'
	touch $@

# Sees what is in VENV, so that PyTorch and its kin are installed once.
$(PEERS)/.ready: benchmarks/peers-requirements.txt | $(VENV)/.ready
	$(BIN)/python -m venv $(PEERS)
	$(BIN)/python -c '$(PURELIB)' > "$$($(PEERS)/bin/python -c '$(PURELIB)')/with-ours.pth"
	$(PEERS)/bin/python $(INSTALL) -r $<
	$(PEERS)/bin/python $(INSTALL) --no-deps 'circuit-tracer>=0.5,<0.6' # it pins Transformers
	touch $@

# The index may give the first of these Pythons a PyTorch without CUDA, which has no fake GPUs either.
$(CUDA)/.ready: pyproject.toml
	for python in $(CUDA_PYTHON); do \
		rm -rf $(CUDA); \
		$$python -m venv $(CUDA) || continue; \
		$(CUDA)/bin/python $(INSTALL) --editable '.[workflow]' pytest pytest-xdist hypothesis || continue; \
		$(CUDA)/bin/python -c 'import torch; raise SystemExit(torch.version.cuda is None)' && touch $@ && break; \
	done
	@test -e $@ || { echo "None of $(CUDA_PYTHON) got a PyTorch with CUDA: name another by CUDA_PYTHON=" >&2; exit 1; }

clean: ## remove the environments, never results
	rm -rf $(VENV) $(PEERS) $(CUDA)
