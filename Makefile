# Every target does its own set-up: Python >= 3.11 and make are all it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c $(@D)/constraints.txt
ZOO := bmshj2018-factorized bmshj2018-hyperprior mbt2018-mean mbt2018 cheng2020-anchor cheng2020-attn
CPU_TORCH := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help demo bench bench-compressai test lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## encode, decode and compare a picture: make demo [IMAGE=path]
	$(BIN)/python -m bench.demo $(IMAGE)

bench: $(READY) ## the quick comparison with other codecs: make bench [IMAGES=folder]
	$(BIN)/python -m bench run $(if $(IMAGES),--images $(IMAGES))

bench-compressai: .venv-compressai/.ready ## CompressAI's models: make bench-compressai INRCODEC_ZOO=folder [IMAGES=folder]
	.venv-compressai/bin/python -m bench run $(if $(IMAGES),--images $(IMAGES)) --codecs $(ZOO)

test: lint ## every check, then the tests
	$(BIN)/python -m pytest

lint: $(READY) ## style, types, layers, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict inrcodec bench
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

format: $(READY) ## lay out the code and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment and every cache
	rm -rf .venv .venv-compressai build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find inrcodec tests bench -name __pycache__ -prune -exec rm -rf {} +

# Without a GPU, torch's CPU build saves gigabytes: a wheel that pip is configured to find locally,
# else PyTorch's own index. Where neither answers, the last line takes the build on PyPI.
define environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(@D)
	grep -vE '$(UNPINNED)' constraints.txt > $(@D)/constraints.txt
	$(INSTALL) --upgrade pip
	command -v nvidia-smi >/dev/null \
	    || $(INSTALL) --no-deps --no-index torch 2>/dev/null \
	    || $(INSTALL) --no-deps --retries 1 --timeout 30 --index-url $(CPU_TORCH) torch \
	    || true
	$(INSTALL) --build-constraint constraints.txt --editable . $(GROUPS)
	touch $@
endef

$(READY): GROUPS := --group dev
$(READY): UNPINNED := ^#
$(READY): pyproject.toml constraints.txt
	$(environment)

# CompressAI wants numpy < 2, and older versions of what needs numpy.
.venv-compressai/.ready: GROUPS := --group bench --group compressai 'numpy<2'
.venv-compressai/.ready: UNPINNED := ^(numpy|scipy|scikit-image|matplotlib|contourpy|tifffile|ImageIO|setuptools)==
.venv-compressai/.ready: pyproject.toml constraints.txt
	$(environment)
