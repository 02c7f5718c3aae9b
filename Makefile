# Each target sets up what it needs from a bare python3.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
WORKERS ?= 2

.PHONY: demo test check bench guard docs slow clean

demo: $(VENV)/.installed-demo
	$(RUN) examples/demo.py
	$(RUN) examples/rl/dqn.py --seeds 1 --at-least 475 --out demo

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -n $(WORKERS)

slow: $(VENV)/.installed-dev
	$(RUN) -m pytest -n $(WORKERS) -m slow

check: $(VENV)/.installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(RUN)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell

bench: .venv-bench/.installed
	.venv-bench/bin/python benchmarks/run.py

# Is NEW slower than OLD, two commits?
guard: .venv-bench/.installed
	.venv-bench/bin/python benchmarks/guard.py $(OLD) $(NEW)

docs: $(VENV)/.installed-docs
	$(RUN) -m sphinx -W -q -b html docs build/docs

clean:
	rm -rf build demo .venv-bench $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

# The peers that benchmarks compare with have the same import names: a place of their own.
.venv-bench/.installed: pyproject.toml benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@
