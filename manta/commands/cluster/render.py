"""`manta cluster render`: the files of a profile's cluster."""

from __future__ import annotations

from pathlib import Path

import click

from cluster.render.files import compare, write
from cluster.render.tree import render
from configs.load import manta_folder, read_profile
from manta.console import err, out


@click.command("render")
@click.argument("profile", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder to write into; by default kuberay/rendered/NAME of the profile.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail if what is there differs.")
def command(profile: Path, *, folder: Path | None, check: bool) -> int:
    """Write PROFILE's cluster as files, a folder a wave, for kubectl and kustomize.

    Reaches nothing: no AWS account, no cluster. The same profile gives the same files.
    """
    chosen = read_profile(profile)
    target = folder or manta_folder() / "kuberay" / "rendered" / chosen.path.stem
    files = render(chosen)
    changes = compare(files, target) if check else write(files, target)
    for change in changes:
        out.print(change, markup=False)
    if check and changes:
        err.print(
            f"{target} is not what {profile} renders to: manta cluster render {profile}",
            style="red",
            markup=False,
        )
        return 1
    err.print(f"{len(files)} files in {target}, {len(changes)} changed", markup=False)
    return 0
