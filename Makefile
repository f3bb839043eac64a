# Bare `make` lists the targets. Everything is installed into .venv; a second run starts at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# Packages in the versions that the continuous integration ran; Python compiles what is used when it is used.
PINNED := --no-compile -c constraints.txt
# Stamps: what is installed. They are older than a changed pyproject.toml, which installs again.
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
RELEASE := $(VENV)/.release
DEMO := demo
SEED ?= 0
CASES ?= 850

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo yardstick test fuzz check docs format bench dist audit sbom clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(CORE)  ## install the core and count buildings in a real satellite scene
	@$(BIN)/python scripts/demo_scene.py $(DEMO)
	@$(BIN)/detect predict $(DEMO)/rotterdam.tif --sites $(DEMO)/site.geojson --tta --out $(DEMO)/out --overwrite
	@$(BIN)/python scripts/demo_next.py $(DEMO)/out/rotterdam

yardstick: $(CORE)  ## draw three plots of worker housing, 100 blocks planned, and count blocks and beds
	@test -f $(DEMO)/yardstick/scene.tif || $(BIN)/detect simulate --preset yardstick --seed 1 --out $(DEMO)/yardstick
	@$(BIN)/detect predict $(DEMO)/yardstick/scene.tif --sites $(DEMO)/yardstick/truth.gpkg --out $(DEMO)/yardstick/out --overwrite

test: $(DEV)  ## install everything and run the tests
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

fuzz: $(DEV)  ## damage 10,000 files of every kind that is read; SEED=7 CASES=2000 changes which and how many of each
	@FUZZ_SEED=$(SEED) FUZZ_CASES=$(CASES) $(BIN)/python -m pytest -q -n auto --maxprocesses 4 tests/robustness/test_fuzz.py

check: $(DEV) docs  ## style, types, who imports whom, documentation
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: $(DEV)  ## build the documentation into build/docs; a broken link or an outdated page fails
	@$(BIN)/python scripts/docs_reference.py --check
	@$(BIN)/python scripts/docs_formats.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(DEV)  ## put the code into its style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV)  ## time start-up and predict; the others in benchmarks/ say what they need
	@for name in startup inference; do $(BIN)/python benchmarks/$$name.py || exit 1; done

dist: $(RELEASE)  ## build the sdist and the wheel into dist/, and check what the package index checks
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@$(BIN)/python -m twine check --strict dist/*

audit: $(RELEASE)  ## known vulnerabilities of the packages in constraints.txt; asks the package index's database
	@$(BIN)/python -m pip_audit --no-deps --disable-pip -r constraints.txt

sbom: $(RELEASE)  ## the bill of materials of the core, CycloneDX 1.6, into dist/sbom.json
	@rm -rf build/core && $(PYTHON) -m venv build/core && mkdir -p dist
	@build/core/bin/python -m pip --disable-pip-version-check -qq install $(PINNED) .
	@$(BIN)/cyclonedx-py environment --sv 1.6 --of JSON --pyproject pyproject.toml -o dist/sbom.json build/core/bin/python

clean:  ## remove what make has made
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); ok or sys.exit("Python 3.11 to 3.13 is needed (make PYTHON=python3.12)")'
	@$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the core into $(VENV) (about a minute)"
	@$(PIP) install $(PINNED) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing everything, with PyTorch, into $(VENV) (some minutes, several GB)"
	@$(PIP) install $(PINNED) -e '.[dev]'
	@touch $(CORE) $@

$(RELEASE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what builds and checks releases into $(VENV)"
	@$(PIP) install $(PINNED) -e '.[release]'
	@touch $(CORE) $@
