"""`python -m benchmarks.reference_server --port N ...`: read the flags, listen, serve."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from benchmarks.reference_server.faults import FAULTS
from benchmarks.reference_server.server import STOP_SIGNALS, Server, listen
from benchmarks.reference_server.settings import Settings

_EPILOG = "Requests choose a fault by the name of their model:\n" + "\n".join(
    f"  {name:16} {fault.description}" for name, fault in FAULTS.items()
)


def _delay(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3_600_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600000")
    return value


def _jitter(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 10")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reference_server",
        description="An OpenAI-compatible server on loopback whose timing is known.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, Settings()
    add("--port", type=_port, default=default.port, help="0 picks a free one (default)")
    add("--model", default=default.model, help="what /v1/models lists; requests may name any")
    add("--ttft-ms", type=_delay, default=default.ttft_ms, help="time to the first token (%(default)s)")
    add("--tpot-ms", type=_delay, default=default.tpot_ms, help="time of each token after it (%(default)s)")
    add(
        "--output-tokens", type=_count, default=default.output_tokens, help="without max_tokens (%(default)s)"
    )
    add("--jitter", type=_jitter, default=default.jitter, help="coefficient of variation of delays (0)")
    add("--seed", type=int, default=default.seed, help="of the jitter (%(default)s)")
    add("--prefill-us-per-token", type=_delay, default=default.prefill_us_per_token, help="adds to ttft (0)")
    add("--extra-ttft-ms", type=_delay, default=default.extra_ttft_ms, help="adds to ttft, unjittered (0)")
    add("--max-concurrent", type=_count, help="answers at a time in each process; more wait in order")
    add("--embedding-dimensions", type=_count, default=default.num_embedding_dimensions, help="(%(default)s)")
    add("--processes", type=_count, default=default.num_processes, help="that share the port (%(default)s)")
    add("--log", type=Path, help="file for one JSON line a request, and a summary")
    add("--ready-file", type=Path, help="file for the URL when the server listens")
    add("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    return parser


def settings_from(arguments: Sequence[str]) -> Settings:
    """Raises SystemExit with a message on standard error for flags that make no sense."""
    parsed = _parser().parse_args(arguments)
    return Settings(
        port=parsed.port,
        model=parsed.model,
        ttft_ms=parsed.ttft_ms,
        tpot_ms=parsed.tpot_ms,
        output_tokens=parsed.output_tokens,
        jitter=parsed.jitter,
        seed=parsed.seed,
        prefill_us_per_token=parsed.prefill_us_per_token,
        extra_ttft_ms=parsed.extra_ttft_ms,
        max_concurrent=parsed.max_concurrent,
        num_embedding_dimensions=parsed.embedding_dimensions,
        num_processes=parsed.processes,
        log_path=parsed.log,
        ready_path=parsed.ready_file,
        stops_with_stdin=parsed.stop_with_stdin,
    )


def main() -> None:
    settings = settings_from(sys.argv[1:])
    if sys.platform != "linux":
        _give_up("the reference server needs Linux, for epoll and timerfd")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Who reads that it listens may stop it at once, before a handler is there.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        listeners = _listen(settings)
    except OSError as exc:
        _give_up(f"cannot listen on port {settings.port}: {exc.strerror}")
    try:
        if settings.log_path is not None:
            settings.log_path.write_bytes(b"")
        _tell(settings, f"http://127.0.0.1:{listeners[0].getsockname()[1]}")
    except OSError as exc:
        _give_up(str(exc))
    if len(listeners) == 1:
        _serve(settings, listeners[0])
    else:
        _serve_with_processes(settings, listeners)


def _listen(settings: Settings) -> list[socket.socket]:
    """A socket for each process. The kernel spreads connections over sockets that share a port."""
    if settings.num_processes == 1:
        return [listen(settings.port)]
    first = listen(settings.port, shares_port=True)
    port = first.getsockname()[1]
    return [first, *(listen(port, shares_port=True) for _ in range(settings.num_processes - 1))]


def _tell(settings: Settings, url: str) -> None:
    if settings.ready_path is not None:
        # Renamed into place: who sees the file sees all of it.
        unfinished = settings.ready_path.with_name(settings.ready_path.name + ".new")
        unfinished.write_text(url + "\n", encoding="utf-8")
        unfinished.replace(settings.ready_path)
    print(f"listening on {url}", flush=True)


def _serve(settings: Settings, listener: socket.socket, process: int = 0) -> None:
    summary = Server(settings, listener, process=process).serve()
    sys.stdout.write(f"{summary}\n")  # one write: other processes write to it, too
    sys.stdout.flush()


def _serve_with_processes(settings: Settings, listeners: list[socket.socket]) -> None:
    """Fork a server for each socket, pass signals on, and end when all have; one that fails ends all."""
    children = [_fork(settings, listeners, process) for process in range(len(listeners))]
    for listener in listeners:
        listener.close()

    def stop_all(*_: object) -> None:
        for child in children:
            with suppress(
                ProcessLookupError
            ):  # it has ended, and this comes before it is taken from the list
                os.kill(child, signal.SIGTERM)

    for number in STOP_SIGNALS:
        signal.signal(number, stop_all)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    has_failed = False
    while children:
        child, status = os.wait()
        children.remove(child)
        if status and not has_failed:
            has_failed = True
            stop_all()
    sys.exit(has_failed)


def _fork(settings: Settings, listeners: list[socket.socket], process: int) -> int:
    child = os.fork()
    if child:
        return child
    for listener in listeners:
        if listener is not listeners[process]:
            listener.close()
    _serve(settings, listeners[process], process)
    os._exit(0)


def _give_up(reason: str) -> NoReturn:
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
