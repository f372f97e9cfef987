# make run    a draft report for the sample study, then the page and the API on 127.0.0.1:8000
# make test   the tests
# make cover  the tests in two processes, and that they cover at least COVERAGE % of the lines
# make soak   FILES spoilt files (50,000) and 25 killed batches; takes hours
# make check  format, lint and types
# make docs   the documentation as a site, in docs/_build/html

PYTHON ?= python3
COVERAGE := 94
FILES ?= 50000
BIN := .venv/bin
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: run install test cover soak check docs format bench clean

run: install
	$(BIN)/crossray report app/static/samples/left-effusion.png
	@echo
	$(BIN)/crossray serve --host 127.0.0.1 --port 8000

install: .venv/.installed

test: .venv/.installed
	$(BIN)/python -m pytest

cover: .venv/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report term:skip-covered --cov-fail-under=$(COVERAGE)

soak: .venv/.installed
	$(BIN)/python -m pytest tests/soak --soak=$(FILES) -s

check: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/.installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html

format: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.installed
	$(BIN)/python tests/benchmarks/bench_engine.py
	$(BIN)/python tests/benchmarks/bench_decoding.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'CrossRay needs Python 3.11 or newer')"
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "on Debian and Ubuntu, install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e '.[dev]'
	touch $@
