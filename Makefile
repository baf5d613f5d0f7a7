# make demo            simulate the shipped ResNet-20 trace and say where the report lies
# make test            everything that is tested (sets up .venv first, Verilator for the RTL and Chromium for reports)
# make validate        the slow proofs in full, the RTL's too: make test runs a sample of them
# make validate-rtl    thousands of layers through the RTL, and the shipped trace's; says how many agree
# make validate-fpga   synthesises rtl/ anew with Yosys, some forty sizes: FPGA resources, measured and modelled
# make validate-board  latencies of a real accelerator on its board, measured and modelled
# make reproduce-cgnet figures and tables of docs/cgnet.md: CGNet's accelerator, some minutes
# make lint            ruff (lint and format) and mypy
# make bench           speed of cgsim on this machine, of its DRAM and its mapping too
# make docs-reference  docs/configuration.md, docs/columns.md and docs/command-line.md, from the code
# make docs            the documentation as a site: open out/site/index.html
#
# PYTHON=python3.12 chooses another interpreter; PIP_ARGS is handed to pip.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
export MPLBACKEND ?= Agg

.PHONY: demo test validate validate-rtl validate-fpga validate-board reproduce-cgnet lint format bench setup setup-rtl setup-yosys setup-chromium docs docs-reference clean

demo: $(VENV)/.demo-ready
	$(BIN)/cgsim simulate traces/resnet20-cgnet.trace.parquet --hardware asic-28nm --plot -o out/
	@echo
	@echo "Report:                 out/report.md"
	@echo "Table, sample x layer:  out/layers.parquet"
	@echo "Totals and provenance:  out/summary.json"
	@echo "Plots:                  $$(ls out/*.png | tr '\n' ' ')"

test: $(VENV)/.all-ready setup-rtl setup-yosys setup-chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS)

validate: $(VENV)/.all-ready setup-rtl
	CGSIM_VALIDATE=1 $(BIN)/python -m pytest tests/dram tests/engine tests/mapping tests/trace tests/rtl $(PYTEST_ARGS)

validate-rtl: $(VENV)/.all-ready setup-rtl
	CGSIM_VALIDATE=1 $(BIN)/python -m pytest tests/rtl $(PYTEST_ARGS)

validate-fpga: $(VENV)/.all-ready setup-yosys
	$(BIN)/python -m tests.rtl.fpga_table --anew

validate-board: $(VENV)/.all-ready
	$(BIN)/python -m tests.board.table

reproduce-cgnet: $(VENV)/.all-ready
	$(BIN)/python tools/reproduce_cgnet.py --anew

lint: $(VENV)/.all-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.all-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.all-ready setup-rtl
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/dram.py
	$(BIN)/python benchmarks/mapping.py
	$(BIN)/python benchmarks/rtl.py

docs: $(VENV)/.all-ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Site: out/site/index.html"

docs-reference: $(VENV)/.demo-ready
	$(BIN)/python -m cgsim.hardware.reference docs/configuration.md
	$(BIN)/python -m cgsim.results.reference docs/columns.md
	$(BIN)/python -m cgsim.commands.reference docs/command-line.md

setup: $(VENV)/.all-ready setup-rtl setup-yosys setup-chromium

# These never fail for want of tools, except in CI: without them tests are skipped and say why.
setup-rtl:
	@tools/setup-packages.sh "The RTL cannot be built" "the tests of the RTL" \
	  "Verilator 5, a C++ compiler and make" verilator g++ make

setup-yosys:
	@tools/setup-packages.sh "The RTL cannot be synthesised" "the tests of FPGA resources by synthesis" "Yosys" yosys

setup-chromium:
	@tools/setup-packages.sh "No HTML report can be opened" "the tests of reports in a browser" "Chromium" chromium

clean:
	rm -rf $(VENV) out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find cgsim tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Both stamps depend on pyproject.toml: a changed dependency is installed by the next make.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cgsim needs Python 3.11 or newer; choose one with make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-ready: pyproject.toml | $(VENV)/bin/python
	@echo "Installing cgsim into $(VENV) ..."
	$(PIP) install $(PIP_ARGS) --editable .
	@touch $@

$(VENV)/.all-ready: pyproject.toml | $(VENV)/bin/python
	@echo "Installing cgsim with all of its extras into $(VENV) ..."
	$(PIP) install $(PIP_ARGS) --editable '.[dev]'
	@touch $(VENV)/.demo-ready $@
