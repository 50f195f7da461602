# Every target works on a fresh machine: the virtual environment is made and filled on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test real check bench notebooks clean

demo: $(INSTALLED)  ## segment the bundled sample; look at out/demo/report.html
	$(BIN)/moca segment docs/sample.mp4 -o out/demo

test: $(INSTALLED)  ## the whole test suite
	$(BIN)/python -m pytest

real: $(INSTALLED)  ## what every published checkpoint that is here must show; see docs/real-weights.md
	$(BIN)/moca doctor
	$(BIN)/python -m pytest -m real -rs -s tests/real

check: $(INSTALLED)  ## lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(INSTALLED)  ## speed as ratios against references in the same run
	$(BIN)/python -m benchmarks.matching
	$(BIN)/python -m benchmarks.fscore
	$(BIN)/python -m benchmarks.memory
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.metrics
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mining

notebooks: $(INSTALLED)  ## the five notebooks, executed
	$(BIN)/python -m recipes.run_notebooks --check

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
