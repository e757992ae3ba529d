# `make demo` and `make test` need nothing but Python 3.11 or newer; each creates .venv and installs what it needs.
# Another build of torch: make demo TORCH_INDEX=URL

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
WORKERS ?= 2

.PHONY: demo test check cover docs clean

demo: $(VENV)/.demo
	$(BIN)/nervure shape digits -o runs/demo --overwrite

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_extras.py
	$(BIN)/python scripts/tables.py --check
	$(BIN)/python -m doctest docs/examples.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# which code the tests go over; measuring it takes half as long again, so neither `test` nor `check` does
cover: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --cov

docs: $(VENV)/.check
	$(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) .coverage build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $$(grep '^torch==' constraints.txt)
	touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	$(PIP) -c constraints.txt -e '.[all]'
	touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.torch
	$(PIP) -c constraints.txt -e '.[all,test]'
	touch $@ $(VENV)/.demo

$(VENV)/.check: pyproject.toml $(VENV)/.torch
	$(PIP) -c constraints.txt -e '.[all,test,dev,docs]'
	touch $@ $(VENV)/.test $(VENV)/.demo
