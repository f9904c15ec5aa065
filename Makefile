# make run   environment, then the main job on the embedded default; prints where the report is
# make test  lint, types, import contracts, tests (fast ones); make test-e2e: what installs or starts other programs
# make test-all  everything but what needs a GPU
# make docs  the documentation site, in docs/site/
# make bench-quick  the main ratios beside named peers, in small, and their page docs/benchmarks.md
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# the set-up compiles nothing: what is imported leaves its bytecode, or each of hundreds of processes compiles it again
export PYTHONDONTWRITEBYTECODE :=
# two processes of tests share two cores; more threads in each wait for one another
tests test-e2e typed test-all bench-quick: export OMP_NUM_THREADS := 1

.PHONY: setup run lint test tests test-e2e typed test-all docs bench bench-quick mutation repro clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@# a new pip, and no compiling of what may never be imported, take half the time or less
	$(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[dev]'
	touch $@

run: setup
	$(BIN)/priorgap run -m experiment=default

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# the linters use one core: beside the tests they cost no time of their own
test: setup
	@$(MAKE) --no-print-directory -j2 lint tests

# the tests of a file stay together while they can: they share what is slow to make
tests: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

# an outside package installed and used; minutes
test-e2e: setup
	$(BIN)/python -m pytest -n 2 -m e2e

# shapes and types as the estimators' annotations say, checked in every call
typed: setup
	$(BIN)/python -m pytest -n 2 --jaxtyping-packages=priorgap.estimators,beartype.beartype -m 'typed and not slow' tests/estimators

test-all: lint typed
	$(BIN)/python -m pytest -n 2 -m 'not gpu'

# a warning, of a link that leads nowhere too, is an error; nothing is fetched
docs: setup
	rm -rf docs/site
	$(BIN)/python docs/build_site.py

# side-by-side ratios against named peers and known truths; minutes to an hour, not tests
bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/frechet.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bracket.py --jobs 2

# small forms of the main ratios, each added to benchmarks/results.jsonl with commit and processor; 5 minutes on two cores
RECORD := $(BIN)/python benchmarks/record.py
bench-quick: setup
	$(RECORD) marginal.py --n 20000 --queries 2000
	$(RECORD) bracket.py --full --laws mixture --dims 2,16 --seeds 1
	$(RECORD) frechet.py --n 4000
	$(RECORD) coverage.py --rounds 1
	$(RECORD) gmm_em.py --n 20000
	$(RECORD) batched.py --members 8 --epochs 1
	$(RECORD) sweep.py --parts c --batched-models 8 --commands 1
	$(RECORD) startup.py --rounds 1
	@# needs MNIST, which is not fetched for it
	$(if $(PRIORGAP_DATA),$(RECORD) neighbours.py --rounds 1)
	$(BIN)/python benchmarks/page.py --write

# which changes of the estimators' and the verdict's code their tests miss (docs/mutation.md); hours of one core, resumable
MUTATION ?= .mutation
mutation: setup $(MUTATION)/bin/mutmut
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py --mutmut $(MUTATION)/bin/mutmut --out $(MUTATION)/results

# an environment beside the project's, that sees its packages
$(MUTATION)/bin/mutmut:
	$(BIN)/python -m venv $(MUTATION)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(MUTATION)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	$(MUTATION)/bin/pip install -q mutmut==3.8.1

# the committed studies under DVC
repro: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

clean:
	rm -rf .venv build dist docs/site .pytest_cache .mypy_cache .ruff_cache
