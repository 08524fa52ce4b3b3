"""`python -m serve_app.retrieval.ingest`: the ingestion as a Ray job, on the cluster that it is submitted to.

    ray job submit -- python -m serve_app.retrieval.ingest --profile configs/eks-gpu.yaml --workers 16

Without places it takes the profile's own sources. Exit code 1: some documents failed, and are in the file
of dead letters; 2: it broke off, and the next run goes on. With `--every` it runs again and again until
SIGTERM: the pod that KEDA starts while sources are not current (cluster/render/ingestion.py).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from configs.load import ProfileError, default_profile, home, read_profile
from serve_app.errors import MantaError
from serve_app.retrieval.ingest.job import Watching
from serve_app.retrieval.ingest.run import DEAD_LETTERS, Settings, configured, run, typed

_SOME_FAILED, _BROKE_OFF = 1, 2


def main(words: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    given = _arguments(words)
    if given.every is None:
        return _once(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return again(lambda: _once(given), given.every)


def again(once: Callable[[], int], every_s: float, sleep: Callable[[float], None] = time.sleep) -> int:
    """Run `once`, wait, and so on. Returns only where the first run breaks off: that will not get better by itself,
    while a later one that breaks off has met a store or a source that is gone for a while."""
    if once() == _BROKE_OFF:
        return _BROKE_OFF
    while True:
        sleep(every_s)
        once()


def _once(given: argparse.Namespace) -> int:
    try:
        platform = read_profile(given.profile or default_profile()).platform
        folder = home(platform)
        limit = platform.knowledge.max_document_bytes
        if given.places:
            tenant = given.tenant or platform.ingress.default_tenant
            chosen = typed(
                given.places, given.source, tenant, limit, given.max_removed_share, **_places_options(given)
            )
        else:
            chosen = configured(platform, folder, given.source, given.tenant)
        settings = Settings(
            num_workers=given.workers,
            address=given.address,
            application=given.application,
            dead_letters=given.dead_letters,
            retry=given.retry,
            allow_empty=given.allow_empty,
            cpus_per_worker=given.cpus_per_worker,
        )
        report = run(platform, folder, chosen, settings, partial(_watching, given.tell_every))
    except (MantaError, ProfileError) as exc:
        print(f"ingest: {exc}", file=sys.stderr)  # noqa: T201 (a job's log is what it prints)
        return _BROKE_OFF
    counts = {name: value for name, value in asdict(report).items() if name != "failed"}
    print(json.dumps(counts | {"num_failed": len(report.failed)}))  # noqa: T201
    return _SOME_FAILED if report.failed else 0


def _places_options(given: argparse.Namespace) -> dict[str, object]:
    """How buckets and pages that were typed are reached."""
    return {
        "endpoint": given.endpoint,
        "region": given.region,
        "is_public": given.public_bucket,
        "also_allow": tuple(given.allow_host),
        "allow_private": given.allow_private,
    }


def _watching(every_s: float, source: str) -> Watching:
    """Says every now and then how far it is."""
    total, done, told_s = 0, 0, 0.0

    def listed(num: int) -> None:
        nonlocal total
        total = num
        print(f"{source}: {num:,} documents are wanted", flush=True)  # noqa: T201

    def advance(num: int) -> None:
        nonlocal done, told_s
        done += num
        if done == total or time.monotonic() - told_s >= every_s:
            told_s = time.monotonic()
            print(f"{source}: {done:,} of {total:,}", flush=True)  # noqa: T201

    return Watching(listed, advance)


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("places", nargs="*", help="folders, files, globs, s3://bucket/prefix, pages (the profile's sources)")
    add("--profile", type=Path, help="whose store, embedder and sources (the default profile)")
    add("--source", help="name of the source, or which one of the profile's")
    add("--tenant", help="whose base")
    add("--workers", type=int, default=1, help="that parse and embed (%(default)s)")
    add("--cpus-per-worker", type=float, default=1.0, help="that Ray sets aside (%(default)s)")
    add("--address", help="of a Ray; `local`: one of its own (Ray's own choice: the job's cluster)")
    add("--application", help="of Serve, whose embedder is asked (each worker has an engine of its own)")
    add("--dead-letters", type=Path, default=DEAD_LETTERS, help="file of what failed (%(default)s)")
    add("--retry", type=Path, help="a file of dead letters: these documents, and no others")
    add("--endpoint", help="of a store that speaks S3's protocol and is not Amazon's")
    add("--region", help="of the bucket, in AWS")
    add("--public-bucket", action="store_true", help="send S3 no signatures")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="another that pages may be on or redirect to; repeatable",
    )
    add("--allow-private", action="store_true", help="let pages be on private and loopback addresses")
    add("--allow-empty", action="store_true", help="let an empty source remove all of its documents")
    add("--max-removed-share", type=float, default=0.5, help="of a source's documents (%(default)s)")
    add("--tell-every", type=float, default=2.0, metavar="SECONDS", help="how far it is (%(default)s)")
    add(
        "--every",
        type=float,
        metavar="SECONDS",
        help="again so many seconds after the last one, until SIGTERM",
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
