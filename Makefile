# make report: from a fresh clone to results/report.html.  make test: from a fresh clone through every test.
PYTHON ?= python3
CORES ?= all
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: report test lint lock

report: $(VENV)/installed
	snakemake --cores $(CORES) --resources gpu=1 results/report.html
	@echo "The report: $(CURDIR)/results/report.html"

test: $(VENV)/installed
	OMP_NUM_THREADS=1 python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	ruff format --check . && ruff check . && snakefmt --check Snakefile workflow/rules

# The lock pins versions, so that pip takes the build (CPU or CUDA) of torch that its index offers.
$(VENV)/installed: requirements.lock pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# Resolves pyproject.toml's ranges anew; review the difference before committing it.
lock:
	mkdir -p $(VENV)
	$(PYTHON) -m pip install --quiet --dry-run --ignore-installed --report $(VENV)/report.json torch==2.13.0 '.[test]'
	$(PYTHON) envs/lock.py $(VENV)/report.json
