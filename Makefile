# Every target does its own set-up: Python >= 3.11 and make are all it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c $(@D)/constraints.txt
ZOO := bmshj2018-factorized bmshj2018-hyperprior mbt2018-mean mbt2018 cheng2020-anchor cheng2020-attn
SANITIZED := build/sanitized
SANITIZERS := ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0:quarantine_size_mb=64 UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1
RUNTIMES = $$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so)
SECONDS = 600
CPU_TORCH := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help demo bench bench-compressai test lint sanitize fuzz sanitized format clean

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

sanitize: sanitized ## the extension's tests under AddressSanitizer and UBSan
	cd $(SANITIZED) && $(SANITIZERS) LD_PRELOAD="$(RUNTIMES)" \
	    $(CURDIR)/$(BIN)/python -m pytest tests/test_native.py tests/test_native_latents.py tests/test_native_pyramid.py \
	        tests/test_siren_step.py tests/test_pyramid_step.py tests/test_tiles.py tests/test_bounds.py

fuzz: sanitized $(SANITIZED)/libfuzzer.so ## mutated files, read under both: make fuzz [SECONDS=600] [INPUT=file]
	mkdir -p build/fuzz
	cd $(SANITIZED) && PYTHONPATH=$(CURDIR)/$(SANITIZED)/atheris $(SANITIZERS) \
	    LD_PRELOAD="$$PWD/libfuzzer.so $$(echo $$PWD/atheris/atheris/custom_mutator.*.so) $(RUNTIMES)" \
	    $(CURDIR)/$(BIN)/python -m bench.fuzz --seconds $(SECONDS) --folder $(CURDIR)/build/fuzz $(abspath $(INPUT)) \
	    || { echo 'fuzz: a finding; read it again with make fuzz INPUT=build/fuzz/NAME'; exit 1; }

# A copy of the package gets an extension with sanitizers, whose runtimes have to be loaded first.
# Times are kept, so that only what has changed is compiled again.
sanitized: $(SANITIZED)/tools/.ready
	rm -rf $(addprefix $(SANITIZED)/,inrcodec tests bench native/src)
	mkdir -p $(SANITIZED)/native
	cp -Rp inrcodec tests bench pyproject.toml $(SANITIZED)
	cp -Rp native/src native/CMakeLists.txt $(SANITIZED)/native
	rm -f $(SANITIZED)/inrcodec/_native.*.so
	cd $(SANITIZED)/native && export PYTHONPATH=$(CURDIR)/$(SANITIZED)/tools PATH="$(CURDIR)/$(SANITIZED)/tools/bin:$$PATH" && \
	    cmake -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DINRCODEC_SANITIZE=ON \
	        -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -Dnanobind_ROOT=$(CURDIR)/$(SANITIZED)/tools/nanobind . && \
	    cmake --build .

$(SANITIZED)/tools/.ready: $(READY)
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .venv/constraints.txt \
	    --target $(@D) cmake nanobind ninja
	touch $@

# The libFuzzer that comes with atheris, loaded before AddressSanitizer: whose own functions of the
# same names count nothing.
$(SANITIZED)/libfuzzer.so: $(READY)
	rm -rf $(@D)/atheris
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .venv/constraints.txt \
	    --target $(@D)/atheris --group fuzz
	c++ -shared -o $@ -pthread -Wl,--whole-archive $(@D)/atheris/libclang_rt.fuzzer_no_main.a -Wl,--no-whole-archive

format: $(READY) ## lay out the code and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment and every cache
	find native -mindepth 1 -maxdepth 1 ! -name src ! -name CMakeLists.txt -exec rm -rf {} +
	rm -f inrcodec/_native.*.so
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
$(READY): UNPINNED := ^\#
$(READY): pyproject.toml constraints.txt native/CMakeLists.txt $(wildcard native/src/*)
	$(environment)

# CompressAI wants numpy < 2, and older versions of what needs numpy.
.venv-compressai/.ready: GROUPS := --group bench --group compressai 'numpy<2'
.venv-compressai/.ready: UNPINNED := ^(numpy|scipy|scikit-image|matplotlib|contourpy|tifffile|ImageIO|setuptools)==
.venv-compressai/.ready: pyproject.toml constraints.txt
	$(environment)
