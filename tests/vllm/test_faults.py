"""Engines that die or hang, replicas that are killed, and starts that fail, on a real vLLM."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from configs.schema import HealthConfig, LocalFolder, ScalingConfig, VllmModel
from serve_app.engines.vllm.engine import VllmEngine
from serve_app.engines.vllm.start import open_vllm
from serve_app.errors import ConfigError, EngineFailed, MantaError
from serve_app.messages import Deadline, Endpoint, RequestContext

Make = Callable[..., VllmModel]
Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

ENDLESS: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 3000,
    "ignore_eos": True,
    "stream": True,
}


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(request_id="test", tenant="default", deadline=Deadline.after(300.0))


def engine_core(engine: VllmEngine) -> psutil.Process:
    """The process that computes: vLLM names it so."""
    assert engine._process.pid is not None
    family = psutil.Process(engine._process.pid).children(recursive=True)
    return next(
        one for one in family if "EngineCore" in " ".join(one.cmdline()) or "EngineCore" in one.name()
    )


async def test_an_engine_that_hangs_and_one_that_dies_are_found(
    tiny_model: Make, context: RequestContext, until: Until, tmp_path: Path
) -> None:
    health = HealthConfig(check_timeout_s=30.0, max_step_s=10.0)
    config = tiny_model(scaling=ScalingConfig(health=health))
    engine = open_vllm(config, tmp_path, 1)
    try:
        core = engine_core(engine)
        async with aclosing(engine.stream(Endpoint.CHAT, ENDLESS, context)) as frames:
            await anext(frames)
            core.send_signal(signal.SIGSTOP)

            async def is_found() -> bool:
                try:
                    await engine.check_health()
                except EngineFailed as exc:
                    return "hangs" in exc.message
                return False

            await until(is_found)
            core.send_signal(signal.SIGCONT)
        await engine.check_health()

        reading = asyncio.create_task(_read(engine, context))
        core.kill()

        async def is_dead() -> bool:
            try:
                await engine.check_health()
            except EngineFailed:
                return True
            return False

        await until(is_dead)
        await asyncio.wait_for(reading, 120)
    finally:
        await engine.close()
    assert engine._process.exit_status() is not None


async def _read(engine: VllmEngine, context: RequestContext) -> None:
    """A stream of a dead engine ends: with vLLM's own error event, or with an error of ours."""
    try:
        async for frame in engine.stream(Endpoint.CHAT, ENDLESS, context):
            if b'"error"' in frame:
                return
    except MantaError:
        return
    raise AssertionError("a stream of a dead engine ended as if it were whole")


def test_a_replica_that_is_killed_takes_its_engine_with_it(tiny_model: Make, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from configs.schema import VllmModel;"
        "from serve_app.engines.vllm.start import open_vllm;"
        "engine = open_vllm(VllmModel.model_validate_json(sys.argv[1]), Path(sys.argv[2]), 1);"
        "print('group', engine._process.pid, flush=True); time.sleep(3600)"
    )
    replica = subprocess.Popen(
        [sys.executable, "-c", script, tiny_model().model_dump_json(), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert replica.stdout is not None
    with replica.stdout:
        group = int(replica.stdout.readline().split()[1])
        family = [psutil.Process(group), *psutil.Process(group).children(recursive=True)]
        assert len(family) >= 3  # launcher, server, engine
        replica.kill()
        replica.wait(60)
    assert psutil.wait_procs(family, timeout=60)[1] == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"engine_args": {"max_nun_seqs": 4}}, r"models\.tiny\.engine_args\.max_nun_seqs: .*--max-nun-seqs"),
        ({"engine_args": {"block_size": "many"}}, r"models\.tiny\.engine_args\.block_size: "),
        ({"max_model_len": 1_000_000}, r"models\.tiny\.max_model_len: .*1000000"),
        ({"tool_call_parser": "nope"}, r"models\.tiny\.tool_call_parser: .*nope"),
    ],
)
def test_a_start_that_fails_names_the_key(
    tiny_model: Make, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    started = time.monotonic()
    with pytest.raises(ConfigError, match=fault) as failed:
        open_vllm(tiny_model(**changes), tmp_path, 1)
    assert "\n" not in failed.value.message
    assert time.monotonic() - started < 1500


def test_a_model_that_is_none_is_named(tiny_model: Make, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match=r"models\.tiny\.weights\.path"):
            open_vllm(tiny_model(weights=LocalFolder(path=str(path))), tmp_path, 1)


def test_nothing_is_left_of_a_start_that_failed(tiny_model: Make, tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))  # the session's own engines are children too
    with pytest.raises(ConfigError, match=r"models\.tiny\.start_timeout_s = 0\.5 s"):
        open_vllm(tiny_model(start_timeout_s=0.5), tmp_path, 1)
    started = set(psutil.Process().children(recursive=True)) - before
    assert psutil.wait_procs(started, timeout=60)[1] == []
