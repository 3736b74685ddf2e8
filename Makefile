# `make help` lists the commands. Each installs first what it needs, into .venv, and does nothing twice.

BIN := .venv/bin
INSTALLED := .venv/installed
LEGACY := .venv-legacy
BROWSER := .venv/installed-browser

.DEFAULT_GOAL := help
.PHONY: help install train demo test test-slow test-oldest test-newest test-legacy test-browser test-notebooks notebooks test-kills fuzz lint docs docs-commands

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '%-16s %s\n' "$$name" "$$text"; done

install: $(INSTALLED)  ## the package and the tools of its development into .venv

train: $(INSTALLED)  ## a small model of drawn birds, in minutes on a CPU
	$(BIN)/python scripts/train.py --dataset=synthbirds --preset=small

demo: $(INSTALLED)  ## a page to play with, on this machine
	$(BIN)/python scripts/demo.py

test: $(INSTALLED)  ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow and not browser" --numprocesses=2 --dist=loadfile

test-slow: $(INSTALLED)  ## the tests that take minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[runtimes]'
	# Its pinned protobuf is older than TensorFlow's, and the part that reads metadata uses none.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'tflite-support==0.4.4; python_version < "3.12"'
	$(BIN)/python -m pytest -m slow

test-oldest: $(INSTALLED)  ## the same in the oldest Python, TensorFlow, Keras, ... that are supported
	$(call test_in,.venv-oldest,3.11,lowest-direct)

test-newest: $(INSTALLED)  ## the same in the newest
	$(call test_in,.venv-newest,3.13,highest)

# In an environment of its own, made by uv, which also looks for that Python, and downloads it if there is none.
define test_in
$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
$(BIN)/uv venv --quiet --allow-existing --python $(2) $(1)
$(BIN)/uv pip install --quiet --python $(1) --resolution $(3) --upgrade --editable '.[dev]'
$(BIN)/uv pip list --python $(1) | grep -E '^(keras|numpy|pillow|tensorflow) '
$(1)/bin/python -m pytest -m "not slow and not browser" --numprocesses=2 --dist=loadfile
endef

test-legacy: $(INSTALLED) $(LEGACY)/installed  ## an export in TensorFlow 2.15 beside TensorFlow Addons
	$(BIN)/python -m pytest -m slow tests/legacy

# TensorFlow Addons ended with TensorFlow 2.15, which ended with Python 3.11.
$(LEGACY)/installed: tests/legacy/requirements.txt
	python3.11 -m venv --clear $(LEGACY)
	$(LEGACY)/bin/python -m pip install --disable-pip-version-check -r $<
	@touch $@

test-browser: $(INSTALLED) $(BROWSER)  ## the page in a real browser, Debian's Chromium
	$(BIN)/python -m pytest -m browser

# Chromium and its driver as Debian has them; npm, from wherever it is, for the runtime of the page that draws by itself.
$(BROWSER): setup.cfg
	@set -e; missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v chromedriver >/dev/null || missing="$$missing chromium-driver"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if [ -n "$$missing" ]; then \
		{ apt-get update && apt-get install --yes --no-install-recommends $$missing; } || { \
			echo "error: Programs are missing. Received: no$$missing. Run as root: apt-get install$$missing" >&2; exit 1; }; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[browser]'
	@touch $@

test-notebooks: $(INSTALLED)  ## the notebooks, run; minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks]'
	$(BIN)/python -m pytest -m slow tests/notebooks

notebooks: $(INSTALLED)  ## the notebooks run anew, with what they show kept
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks]'
	$(BIN)/python notebooks/execute.py

test-kills: $(INSTALLED)  ## a training that is killed 30 times must end as one that was not; some 10 minutes
	PYTHONPATH=. $(BIN)/python tests/training/kills.py

fuzz: $(INSTALLED)  ## 100,000 damaged inputs for everything that reads from outside; an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	PYTHONPATH=. $(BIN)/python tests/fuzz/fuzz.py

lint: $(INSTALLED)  ## style, format and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

docs: $(INSTALLED)  ## the pages as a site in build/site, their links checked
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python docs/architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-commands: $(INSTALLED)  ## every command of README and docs, trainings cut short
	$(BIN)/python docs/commands.py

# An environment that works is kept; one that was begun and broken off, or of another Python, is made anew.
SUITED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
$(INSTALLED): setup.cfg pyproject.toml
	@set -e; \
	if ! { $(BIN)/python -c '$(SUITED)' && $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
		found=; \
		for python in python3 python3.13 python3.12 python3.11; do \
			if [ -z "$$found" ] && $$python -c '$(SUITED)' >/dev/null 2>&1; then found=$$python; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "error: There is no Python 3.11, 3.12 or 3.13 with venv. Received: $$(python3 --version 2>/dev/null || echo no python3)." \
				"Install one so that it is on the PATH, on Debian and Ubuntu with its python3-venv package." >&2; \
			exit 1; \
		fi; \
		$$found -m venv --clear .venv; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@
