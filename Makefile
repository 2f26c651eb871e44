# make demo: set up, train one network on the embedded scene, map it, and show what a random split claims.
# make test: set up, lint, types, tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DIST := $(VENV)-dist
UV := UV_FIND_LINKS="$(PIP_FIND_LINKS)" $(DIST)/bin/uv

.PHONY: demo test torture test-lowest test-newest test-with bench-table tables readme setup lint types format clean docs dist dist-check

demo: setup
	$(BIN)/python -m experiments.demo

# One process a core, each on one thread: small tensors are quickest so. Notebooks take longest and come first.
test: setup lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxschedchunk 4 --durations=25 --nbmake notebooks tests

# The tests of what rests on other packages, once more with the oldest release of each that pyproject.toml allows, and
# with the newest. torch stays at the tested version: its other releases bring gigabytes of CUDA on Linux.
test-lowest: setup
	$(BIN)/python tests/supply/lowest.py | sed "s/^torch==.*/$(TORCH)/" > $(VENV)/lowest.txt
	$(MAKE) test-with ENVIRONMENT=$(VENV)-lowest CONSTRAINTS=$(VENV)/lowest.txt

test-newest: setup
	echo "$(TORCH)" > $(VENV)/newest.txt
	$(MAKE) test-with ENVIRONMENT=$(VENV)-newest CONSTRAINTS=$(VENV)/newest.txt

TORCH = $(shell grep '^torch==' constraints.txt)

test-with:
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(ENVIRONMENT)/bin/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) \
	  -e '.[geo,export,track,cluster]' pytest pytest-xdist hypothesis psutil statsmodels setuptools spectral
	OMP_NUM_THREADS=1 $(ENVIRONMENT)/bin/python -m pytest -n logical --maxschedchunk 4 \
	  $(addprefix tests/,commands datasets export figures inference io report runs tracking) \
	  --deselect tests/runs/test_environment.py::test_the_pins_are_those_of_the_constraints

# Kills, interrupts and starves commands, lets them meet, feeds them broken files: hours; SCALE=0.01 a hundredth.
SCALE ?= 1
torture: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m torture --scale $(SCALE)

# Rewrites the measured table in docs/reference/speed.md from experiments/results/bench-*.json.
bench-table: setup
	$(BIN)/python -m benchmarks.speed_table

# The documentation site, in site/: pages, links and anchors are checked. It is read from disk, without a network.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Rewrites the pages of experiments/ and their figures from experiments/results: RESULTS.md (hsi sweep), GROWTH.md
# (python -m benchmarks.growth), COST.md (hsi bench, and archive_cost.toml).
tables: setup
	$(BIN)/python -m experiments.tables

# Runs the commands that README.md shows; rewrites its pictures and its sample output. Leave the machine alone meanwhile:
# the page says how long they took.
readme: setup
	$(BIN)/python -m docs.make_readme_picture

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# On a copy that is installed as users get it, so that a missing file or py.typed shows.
types: setup
	rm -rf $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/installed .
	cd $(VENV)/installed && ../bin/mypy --config-file ../../pyproject.toml -p hsi
	cd $(VENV)/installed && ../bin/mypy --config-file ../../pyproject.toml --platform win32 -p hsi

# Source distribution and wheel, in dist/.
dist: $(DIST)/.ready
	rm -rf dist
	$(DIST)/bin/python -m build --outdir dist .
	$(DIST)/bin/twine check --strict dist/*

# Installs that wheel in clean environments as users do: with pip, with uv, as a tool of uv; and trains there, outside of
# the checkout. Every extra must resolve. About two minutes.
dist-check: dist
	rm -rf $(DIST)/pip $(DIST)/uv $(DIST)/elsewhere
	mkdir $(DIST)/elsewhere
	$(PYTHON) -m venv $(DIST)/pip
	$(DIST)/pip/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	$(UV) venv --quiet --python $(PYTHON) $(DIST)/uv
	$(UV) pip install --quiet --python $(DIST)/uv/bin/python -c constraints.txt dist/*.whl
	cd $(DIST)/elsewhere && for tool in pip uv; do \
	  ../$$tool/bin/hsi --version && ../$$tool/bin/hsi models >/dev/null && \
	  ../$$tool/bin/hsi train --model svm --dataset demo --out $$tool || exit 1; done
	$(UV) tool run --python $(PYTHON) --constraints constraints.txt --from dist/*.whl hsi --help >/dev/null
	for extra in geo export track cluster docs; do $(UV) pip install --quiet --dry-run --python $(DIST)/uv/bin/python \
	  -c constraints.txt "$$(ls dist/*.whl)[$$extra]" || exit 1; done

$(DIST)/.ready: constraints.txt
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build twine uv
	touch $@

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DIST) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis site
