# The two commands of a fresh machine: `make demo` and `make test`. PYTHON chooses the interpreter, 3.11 to 3.13.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := runs/demo
OLDEST ?= .venv-oldest

.PHONY: demo test test-oldest test-gpu test-arm test-mediapipe test-kotlin lint docs requirements audit
.DELETE_ON_ERROR:

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/python training/train.py --config training/recipes/digits_demo.toml --output $(DEMO) --overwrite
	$(BIN)/python tflite/convert.py --model $(DEMO) --fp32 --fp16 --hybrid --dynamic --int8 --overwrite
	$(BIN)/python training/evaluate.py --model $(DEMO) $(DEMO)/exports/*.tflite
	$(BIN)/python tflite/benchmark.py $(DEMO)/exports/*_fp32.tflite $(DEMO)/exports/*_fp16.tflite \
	  $(DEMO)/exports/*_hybrid.tflite $(DEMO)/exports/*_dynamic.tflite $(DEMO)/exports/*_int8.tflite \
	  --json $(DEMO)/benchmark.json
	$(BIN)/python tflite/report.py --run $(DEMO) --output $(DEMO)/report.html
	@echo
	@echo "Open $(DEMO)/report.html. Next:"
	@echo "  $(BIN)/python training/train.py --data YOUR_PHOTOS/ --epochs 20 --output runs/photos"
	@echo "  $(BIN)/python tflite/convert.py --model runs/photos --int8"
	@echo "  $(BIN)/python tflite/convert.py --int8      # GhostNet 1.0 at 224 px"

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The same with the oldest releases that pyproject.toml allows, in an environment of its own.
test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --require-hashes --requirement requirements/oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile

# On LiteRT's GPU accelerator and on an ARM processor, both emulated. Where the set-up fails, the tests say so and skip.
test-gpu: $(INSTALLED)
	-$(BIN)/python tests/tflite/devices/swiftshader.py
	FULL_SIZE=1 $(BIN)/python -m pytest tests/tflite/devices/test_on_gpu.py

test-arm: $(INSTALLED)
	-$(BIN)/python tests/tflite/devices/emulated_arm.py
	FULL_SIZE=1 $(BIN)/python -m pytest tests/tflite/devices/test_on_arm.py tests/benchmarks/test_arm_instructions.py tests/benchmarks/test_guard.py

# In MediaPipe's image classifier. Without its dependencies: it wants absl-py 2 and tensorflow-model-optimization 1;
# what it does here runs with 1.
test-mediapipe: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps 'mediapipe>=1.2,<2' 'opencv-contrib-python>=4.10'
	$(BIN)/python -m pytest tests/tflite/test_mediapipe.py

# The Kotlin of the pages, by the compiler inside JetBrains's Jupyter kernel; it needs Java.
test-kotlin: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps 'kotlin-jupyter-kernel>=0.19,<0.20'
	$(BIN)/python -m pytest tests/kotlin

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The documentation's site, in site/index.html.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Makes the pinned sets of requirements/ again, see its README.md.
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --python-version 3.11 \
  --python-platform x86_64-manylinux_2_28 --constraint requirements/constraints.txt \
  --custom-compile-command "make requirements"
requirements: $(INSTALLED)
	$(BIN)/python -m pip install --quiet 'uv>=0.9'
	$(COMPILE) --upgrade --extra dev --output-file requirements/newest.txt pyproject.toml
	$(COMPILE) --upgrade --extra dev --resolution lowest-direct --output-file requirements/oldest.txt pyproject.toml
	$(COMPILE) --upgrade --output-file requirements/audit.txt requirements/audit.in

# Published weaknesses of the newest set, by PyPI's advisories; what it cannot look up is an error, too.
audit: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --requirement requirements/audit.txt
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements/newest.txt \
	  $$(sed -n 's/^\([^# ][^ ]*\) .*/--ignore-vuln \1/p' requirements/excused.txt)
