# make install | demo | photographs | test | check | chaos | lint | bench | docs
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
# stages are started by `dvc repro` as `python -m stages...`: the environment's python must come first
export PATH := $(BIN):$(PATH)
# where it is set, each process compiles the package anew: a quarter of the start of a command
unexport PYTHONDONTWRITEBYTECODE
READY := $(VENV)/.installed

.PHONY: install demo photographs test check chaos lint bench docs clean

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aaam-pipe needs Python 3.11 or newer, set PYTHON=...")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'installing into $(VENV): about 6 GB, most of it torch'
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

# not all of `dvc repro`: the model that it shows and its metrics. The index is the newest, whatever was made before
demo: install photographs
	dvc repro evaluate@scenes
	aaam-pipe annotate data/raw/scenes/images/test --model models/scenes/refit --out demo/annotations --on-existing overwrite
	rm -rf demo/index
	aaam-pipe index demo/annotations --out demo/index
	@echo; echo '$$ aaam-pipe search "football grass" --top 10'
	@aaam-pipe search "football grass" --top 10
	@echo; echo 'What to type next (first: . $(VENV)/bin/activate):'
	@echo '  aaam-pipe labels                          the words this model knows'
	@echo '  aaam-pipe search "boat sea"               other words'
	@echo '  aaam-pipe similar PHOTO                   pictures that look like one'
	@echo '  aaam-pipe annotate ~/Pictures && aaam-pipe index     your own photographs'
	@echo '  dvc metrics show; dvc plots show          how good the model is, phase by phase'
	@echo '  dvc repro                                 the rest: WARP, tables and figures as in the paper'
	@echo '                                            (reports/scenes/report.html, figures/scenes)'

# the starter on photographs that installed packages ship, or on your own: IMAGES=~/Pictures, the first thousand of them
REAL := demo/photographs
photographs: install
ifeq ($(wildcard aaam_pipeline/models/starter/bundle.json),)
	@echo 'no model in aaam_pipeline/models/starter: real photographs are left out'
else
	$(if $(IMAGES),,python -m benchmarks.photographs $(REAL)/images)
	aaam-pipe annotate '$(or $(IMAGES:~/%=$(HOME)/%),$(REAL)/images)' --model starter --limit 1000 --out $(REAL)/annotations --on-existing overwrite
	aaam-pipe index $(REAL)/annotations --out $(REAL)/index
	aaam-pipe search "person" --top 3 --index $(REAL)/index
	aaam-pipe search "cat|cup" --top 2 --index $(REAL)/index
endif

# one process a core, so one thread each; a file stays in one process (a Ray cluster is one at a time), slow files first
PYTEST := python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
test check: export OMP_NUM_THREADS ?= 1
test: install
	$(PYTEST)

# those that take less than two minutes together: for while you work
check: install
	$(PYTEST) -m 'not slow'

# the tests that kill annotating runs, 200 times, at other moments every time: AAAM_SEED=... for the same ones again
chaos: export AAAM_CHAOS ?= 200
chaos: export AAAM_SEED ?= $(shell date +%s)
chaos: install
	@echo AAAM_CHAOS=$$AAAM_CHAOS AAAM_SEED=$$AAAM_SEED
	python -m pytest tests/annotate/test_annotate_killed.py

lint: install
	ruff check .
	ruff format --check .
	mypy
	lint-imports

# less than 15 minutes; `python -m benchmarks --list` shows all, with the time they take
bench: install
	python -m benchmarks

docs: install
	python docs/generate.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
