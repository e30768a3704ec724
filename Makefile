# make demo    the sample patient from DICOM to report, with nothing installed but Python >= 3.11
# make test    all tests; lint, types, docs and clean do what they say
# make fuzz    break files on purpose for FUZZ_SECONDS (60) and see that the reading says so
# PYTHON=...   another interpreter for the environment in .venv

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Programs that tests start and that come from Debian: COMMAND=PACKAGE (or FILE=PACKAGE).
SYSTEM := chromium=chromium /usr/sbin/Orthanc=orthanc \
	/usr/share/orthanc/plugins/libOrthancDicomWeb.so=orthanc-dicomweb

FUZZ_SECONDS ?= 60

.PHONY: help demo test fuzz lint types docs constraints clean

help:
	@sed -n 's/^# //p' Makefile | head -4

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "hoimg needs Python 3.11 or later; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/system-packages.sh no-ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV): a minute or two the first time'
	@$(PIP) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV): a minute or two the first time'
	@$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV): a minute or two the first time'
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.run

demo: $(VENV)/.run
	@rm -rf demo_report
	$(BIN)/hoimg report sample_data/patient --output demo_report

test: $(VENV)/.test
	@scripts/system-packages.sh $(SYSTEM)
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov=hoimg --cov-report=term:skip-covered --cov-fail-under=90

fuzz: $(VENV)/.test
	$(BIN)/python -W ignore fuzz/fuzz_intake.py --seed 1 --mutants 1000000 --seconds $(FUZZ_SECONDS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

# Exact versions for the oldest Python that is supported; needs uv.
constraints:
	uv pip compile --quiet --all-extras --python-version 3.11.0 --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --upgrade --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) demo_report docs/_build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
