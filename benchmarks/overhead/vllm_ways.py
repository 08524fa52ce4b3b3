"""The ways to vLLM: bare, through Manta, and through ray.serve.llm, all with the same model and the same settings.

On the CPU the bare server has the model in the engine's own process, as Manta starts it. ray.serve.llm always has it in
a process beside, and so has `vllm serve` as it comes, which is told besides.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import httpx

from benchmarks.application import CannotStart, Started, served, started, write_profile
from benchmarks.bare_vllm import START_TIMEOUT_S, bare_vllm, environment, require_vllm
from benchmarks.overhead.bars import VLLM_BARS
from benchmarks.overhead.lineup import Contender, Lineup, Running
from benchmarks.overhead.profile import platform_around
from benchmarks.overhead.vllm_settings import NAME, VllmSettings
from configs.ports import free_port

OURS = "manta"
# Variables that give vLLM its own choice back. On GPUs it is Manta's too.
_AS_IT_COMES = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
# Below vLLM's environment: what `make vllm-ray-llm` adds for ray.serve.llm alone.
_RAY_LLM_EXTRAS = "ray-llm"
_WRITES_WITHIN_S = 300.0  # the engine runs by then, so that only Serve's routes are still on their way


def vllm_lineup(settings: VllmSettings) -> Lineup:
    """All ways to the engine.

    Raises:
        BadTarget: there is no vLLM.
    """
    require_vllm(settings.python)
    ways: tuple[tuple[str, str, Running], ...] = (
        (OURS, "`manta up`, ingress -> vLLM's replica -> its server", partial(_manta, settings)),
        (
            "ray-llm",
            "build_openai_app of ray.serve.llm, one ingress, streams batched for 50 ms (its default)",
            partial(_ray_llm, settings, is_direct=False, batching_ms=None),
        ),
        (
            "ray-llm-unbatched",
            "the same, streams not batched",
            partial(_ray_llm, settings, is_direct=False, batching_ms=0.0),
        ),
        (
            "ray-llm-direct",
            "its direct streaming: vLLM's server in the replica, which HAProxy sends requests to",
            partial(_ray_llm, settings, is_direct=True, batching_ms=None),
        ),
    )
    if settings.device == "cpu":
        default = "`vllm serve` as it comes, the model in a process beside the engine"
        ways += (("vllm-default", default, partial(_bare, settings, _AS_IT_COMES)),)
    return Lineup(
        bare="`vllm serve`",
        model=NAME,
        bare_running=partial(_bare, settings),
        contenders=tuple(
            Contender(name, what, NAME, running, has_bars=name == OURS) for name, what, running in ways
        ),
        bars=VLLM_BARS,
        holds_length=True,
    )


@contextmanager
def _bare(settings: VllmSettings, env: Mapping[str, str] = MappingProxyType({})) -> Iterator[Started]:
    with bare_vllm(
        settings.python,
        settings.folder,
        NAME,
        settings.words(),
        device=settings.device,
        num_threads=settings.num_threads,
        env=env,
    ) as fresh:
        yield fresh


@contextmanager
def _manta(settings: VllmSettings) -> Iterator[Started]:
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        profile = Path(folder) / "overhead-vllm.yaml"
        write_profile(profile, platform_around(settings.model()))
        with started(profile, timeout_s=START_TIMEOUT_S) as fresh:
            yield fresh


@contextmanager
def _ray_llm(settings: VllmSettings, *, is_direct: bool, batching_ms: float | None) -> Iterator[Started]:
    extras = settings.python.parent.parent / _RAY_LLM_EXTRAS
    if not extras.is_dir():
        raise CannotStart(f"{extras} is not there; `make vllm-ray-llm` installs what ray.serve.llm needs")
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        config = Path(folder) / "llm.json"
        config.write_text(json.dumps(settings.ray_llm(batching_ms, has_ingress=not is_direct)))
        port = free_port()
        command = [str(settings.python), "-m", "benchmarks.overhead.ray_llm_server", str(config)]
        command += ["--port", str(port)]
        variables = environment(settings.device, settings.num_threads) | {
            **_AS_IT_COMES,
            "PYTHONPATH": str(extras.absolute()),
            "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": str(int(is_direct)),
        }
        url = f"http://127.0.0.1:{port}"
        with served(command, url, "/v1/models", START_TIMEOUT_S, **variables) as fresh:
            _wait_until_it_writes(url)
            yield fresh


def _wait_until_it_writes(url: str) -> None:
    """The list of models is there before the model is."""
    body = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    give_up = time.monotonic() + _WRITES_WITHIN_S
    said = "nothing"
    while time.monotonic() < give_up:
        try:
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60.0, trust_env=False)
            if answer.status_code == 200:
                return
            said = f"{answer.status_code}: {answer.text[:300]}"
        except httpx.TransportError as exc:
            said = f"{type(exc).__name__}: {exc}"
        time.sleep(0.5)
    raise CannotStart(f"{url} did not answer a chat request within {_WRITES_WITHIN_S:.0f} s; last {said}")
