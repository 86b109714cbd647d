# Each target sets up all that it needs in a virtual environment of its own.
# `make train GPU=1` and `make play GPU=1` run on JAX and an NVIDIA GPU.
ENV ?= Pong-v0
FLAGS ?=
GPU ?= 0
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ifeq ($(GPU),1)
READY := $(VENV)/gpu-ready
RUN := KERAS_BACKEND=jax $(BIN)/python dqn_atari.py
else
READY := $(VENV)/run-ready
RUN := $(BIN)/python dqn_atari.py
endif

.PHONY: train play test lint

train: $(READY)
	$(RUN) -env $(ENV) $(FLAGS)

play: $(READY)
	$(RUN) -env $(ENV) --play $(FLAGS)

test: $(VENV)/test-ready
	$(BIN)/python -m pytest

lint: $(VENV)/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy *.py system settings storage atari replay learning playing training cluster plotting benchmarks docs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is older than 3.11: name a newer one with PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run-ready: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/gpu-ready: requirements-gpu.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-gpu.txt
	touch $@

$(VENV)/test-ready: requirements-dev.txt requirements-ray.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@
