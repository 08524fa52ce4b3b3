"""Models on NeuronCores, on a Ray whose node says that it has some: a stand-in for vLLM's server is started as the
real one would be, and writes down how. AWS's packages, driver and cores are the only parts that are not real."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serve_app.engines.neuron.plugins import NXD

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
NUM_CORES = 4  # that the node says it has
PATIENCE_S = 240.0
VERSIONS = {
    "vllm": "0.13.2",
    "torch-neuronx": "2.9",
    "neuronx-cc": "2.22",
    "vllm-neuron": "0.2.1",
    "neuronx-distributed-inference": "0.7",
}


def make_environment(folder: Path) -> Path:
    """An interpreter of an environment as AWS's packages leave it, with the stand-in for vLLM's server."""
    packages = folder / "packages"
    cli = packages / "vllm" / "entrypoints" / "cli"
    cli.mkdir(parents=True)
    (cli / "main.py").write_text((HERE / "neuron_server.py").read_text())
    (packages / "vllm" / "__init__.py").touch()
    modules = {package.name: package.module for package in NXD.packages}
    for name, version in VERSIONS.items():
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if name != "vllm":
            (packages / f"{modules[name]}.py").touch()
    starter = folder / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    return starter


def profile(folder: Path, port: int) -> dict[str, Any]:
    """Of two replicas of two cores each, on an inf2.24xlarge as the checks see it."""
    for name in ("model", "records", "dev"):
        (folder / name).mkdir()
    for number in range(6):
        (folder / "dev" / f"neuron{number}").touch()
    shape = {"num_attention_heads": 16, "num_key_value_heads": 8}
    (folder / "model" / "config.json").write_text(json.dumps(shape))
    document: dict[str, Any] = yaml.safe_load((HERE / "plain.yaml").read_text())
    document["http_options"]["port"] = port
    chat = {
        "name": "chat",
        "engine": "vllm",
        "device": "neuron",
        "python": str(make_environment(folder / "environment")),
        "weights": {"path": str(folder / "model")},
        "tensor_parallel_size": 2,
        "max_model_len": 2048,
        "neuron": {
            "instance_type": "inf2.24xlarge",
            "device_folder": str(folder / "dev"),
            "prefill_buckets": [512, 2048],
        },
        "env": {"STAND_IN_RECORDS": str(folder / "records")},
        "scaling": {"min_replicas": 2, "max_replicas": 2, "num_cpus": 0.1},
    }
    args = document["applications"][0]["args"]
    args["models"], args["agent"]["models"] = [chat], ["chat"]
    return document


@dataclass(frozen=True)
class Running:
    url: str
    records: Path
    log: Path
    document: dict[str, Any]  # the profile
    environment: dict[str, str]  # by which Ray is found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Running]:
    """An application on a Ray of its own whose node has NeuronCores, by its own word."""
    port, gcs_port = free_port(), free_port()
    tmp_path = tmp_path_factory.mktemp("neuron")
    path = tmp_path / "profile.yaml"
    document = profile(tmp_path, port)
    path.write_text(yaml.safe_dump(document))
    environment = os.environ | {
        "MANTA_HOME": str(tmp_path / "home"),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"127.0.0.1:{gcs_port}",
    }
    log = tmp_path / "log"
    # Ray puts sockets there, and their paths may have 107 characters.
    with (
        tempfile.TemporaryDirectory(prefix="manta-ray-", ignore_cleanup_errors=True) as folder,
        log.open("wb") as sink,
    ):
        start = [
            "start",
            "--head",
            "--block",
            "--port",
            str(gcs_port),
            "--temp-dir",
            folder,
            "--num-cpus",
            "4",
        ]
        start += ["--resources", json.dumps({"neuron_cores": NUM_CORES}), "--node-ip-address", "127.0.0.1"]
        start += ["--include-dashboard", "false", "--disable-usage-stats"]
        commands = [[str(BIN / "ray"), *start], [str(BIN / "serve"), "run", str(path)]]
        processes = []
        try:
            for command in commands:
                processes.append(subprocess.Popen(command, env=environment, stdout=sink, stderr=sink))
                if len(processes) == 1:
                    _wait(lambda: "Ray runtime started" in log.read_text(), processes, log)
            url = f"http://127.0.0.1:{port}"
            _wait(lambda: _is_ready(url), processes, log)
            yield Running(url, tmp_path / "records", log, document, environment)
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(timeout=120)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _wait(holds: Callable[[], bool], processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert all(process.poll() is None for process in processes), log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.2)


def test_replicas_get_cores_of_their_own_and_start_vllm_with_them(running: Running) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    words = [json.loads(one)["choices"][0]["delta"]["content"] for one in events]
    assert "".join(words) == "on two cores"

    _wait(
        lambda: len(list(running.records.glob("*.json"))) == 2, [], running.log
    )  # one is enough to be ready
    records = [json.loads(path.read_text()) for path in running.records.glob("*.json")]
    cores = sorted(one["environment"]["NEURON_RT_VISIBLE_CORES"] for one in records)
    assert cores == ["0,1", "2,3"]
    for record in records:
        said = record["words"]
        assert said[0] == "serve"
        given = {word: said[at + 1] for at, word in enumerate(said[:-1]) if word.startswith("--")}
        assert given["--tensor-parallel-size"] == "2"
        assert json.loads(given["--additional-config"])["override_neuron_config"] == {
            "context_encoding_buckets": [512, 2048],
            "enable_bucketing": True,
        }
        environment = record["environment"]
        assert environment["NEURON_RT_NUM_CORES"] == "2"
        assert environment["VLLM_NEURON_FRAMEWORK"] == "neuronx-distributed-inference"
        assert environment["NEURON_COMPILE_CACHE_URL"].endswith("neuron-cache")


def test_a_replica_larger_than_every_node_is_refused_when_it_is_built(running: Running) -> None:
    args = copy.deepcopy(running.document["applications"][0]["args"])
    args["models"][0]["tensor_parallel_size"] = 3 * NUM_CORES
    script = (
        "import json, ray, sys; from serve_app.app import build; ray.init(log_to_driver=False);"
        "build(json.loads(sys.argv[1]))"
    )
    built = subprocess.run(
        [sys.executable, "-c", script, json.dumps(args)],
        env={name: value for name, value in running.environment.items() if name != "KUBERNETES_SERVICE_HOST"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert built.returncode != 0
    told = "models.chat.tensor_parallel_size is 12, and the largest node of this Ray has 4 NeuronCores"
    assert told in built.stderr
