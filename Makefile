# Two commands: `make demo` and `make test`. Each sets up a fresh machine by itself.
# PYTHON chooses the interpreter; VENV the place of the virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.sartor-installed

.PHONY: demo test lint setup clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# uv resolves ten times faster than pip; pip does where uv cannot be had.
	-$(BIN)/python -m pip install --quiet uv
	if $(BIN)/python -m uv --version >/dev/null 2>&1; then \
	    UV_FIND_LINKS="$$PIP_FIND_LINKS" $(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"; \
	else \
	    $(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"; \
	fi
	touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/sartor run examples/digits.yaml --out runs/digits

test: $(STAMP)
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs
