"""`manta evaluate calibrate`: fit stage A of the gate, and say how well it does on questions it has not seen."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from configs.load import home, read_profile
from configs.schema import KnowledgeConfig, LanceDbStoreConfig, PlatformConfig
from manta.console import count_progress, err, out
from manta.profile_options import profile_option
from serve_app.evaluation import calibration, dataset, fit
from serve_app.evaluation.examples import examples, ingest
from serve_app.messages import JsonObject

_NUM_THREADS = 2


@click.command("calibrate")
@click.option(
    "--data",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Labelled folder in BEIR's layout; may be given several times.",
)
@profile_option("Whose embedder is calibrated for.")
@click.option("--split", default=None, help="test, dev or train; default: the first that is there.")
@click.option(
    "--out", "file", type=click.Path(path_type=Path), default=Path("calibration.json"), show_default=True
)
@click.option(
    "--records", type=click.Path(path_type=Path), default=None, help="Write every example, as JSON lines."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=None,
    help="Keep the embedded corpora here for a next time.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the passages that are drawn at random."
)
def command(
    folders: tuple[Path, ...],
    profile: Path,
    split: str | None,
    file: Path,
    records: Path | None,
    work: Path | None,
    seed: int,
) -> int:
    """Fit stage A on labelled questions and write the calibration, with the embedding model's id.

    Name the file in `agent.gate.calibration`. Figures are cross-validated by question.
    """
    platform = read_profile(profile).platform
    sets = [dataset.read(folder, split) for folder in folders]
    with _work_folder(work) as folder:
        found, embedding_id = asyncio.run(_collect(platform, sets, folder, seed))
    by_set = {name: fit.cross_validate(ones, embedding_id) for name, ones in found.items()}
    together = [
        fit.Example(f"{name}/{one.question_id}", one.kind, one.features)
        for name, ones in found.items()
        for one in ones
    ]
    figures = {name: fit.figures(held_out) for name, held_out in by_set.items()}
    fitted = fit.fit(together, embedding_id).model_copy(
        update={
            "fitted_on": {
                one.name: {"split": one.split, "num_questions": len(one.questions)} for one in sets
            },
            "cross_validated": figures,
        }
    )
    calibration.write(file, fitted)
    if records is not None:
        _write_records(records, by_set)
    out.print_json(json.dumps({"embedding_id": embedding_id, "cross_validated": figures}))
    err.print(f"calibration: {file}", markup=False)
    return 0


async def _collect(
    platform: PlatformConfig, sets: Sequence[dataset.LabelledSet], folder: Path, seed: int
) -> tuple[dict[str, list[fit.Example]], str]:
    """(examples by the set's name, the embedder's id)"""
    from serve_app.engines.registry import open_embedder
    from serve_app.retrieval.knowledge import open_knowledge

    embedder = open_embedder(platform.embedder, home(platform), _NUM_THREADS)
    store = LanceDbStoreConfig(kind="lancedb", path=str(folder.resolve()))
    knowledge_config: KnowledgeConfig = platform.knowledge.model_copy(update={"store": store})
    knowledge = open_knowledge(knowledge_config, folder, embedder)
    found: dict[str, list[fit.Example]] = {}
    try:
        embedding_id = (await embedder.describe()).embedding_id
        assert embedding_id is not None
        k = platform.agent.num_passages
        with count_progress() as progress:
            for one in sets:
                task = progress.add_task(f"{one.name}: embedding", total=len(one.texts))
                await ingest(knowledge, one, lambda n, task=task: progress.advance(task, n))  # type: ignore[misc]
                task = progress.add_task(f"{one.name}: searching", total=len(one.questions))
                found[one.name] = await examples(
                    knowledge,
                    one,
                    k,
                    seed,
                    lambda n, task=task: progress.advance(task, n),  # type: ignore[misc]
                )
    finally:
        await knowledge.close()
        await embedder.close()
    return found, embedding_id


@contextmanager
def _work_folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="manta-calibrate-") as folder:
        yield Path(folder)


def _write_records(path: Path, by_set: dict[str, list[fit.HeldOut]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as lines:
        for name, held_out in by_set.items():
            for one in held_out:
                lines.write(json.dumps(_record(name, one)) + "\n")


def _record(name: str, one: fit.HeldOut) -> JsonObject:
    return {
        "collection": name,
        "question": one.example.question_id,
        "kind": str(one.example.kind),
        "features": asdict(one.example.features),
        "probability": one.probability,
        "passes": one.passes,
        "is_correct": one.is_correct,
    }
