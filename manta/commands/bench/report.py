"""`manta bench report`: the page of a run again, from its raw records."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.report.page import write_report
from benchmarks.report.text import headline_table
from benchmarks.run.execute import read_run
from manta.console import err, out


@click.command("report")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(folder: Path) -> int:
    """Make the summary and report.html of FOLDER anew, from its raw records."""
    run = read_run(folder)
    page = write_report(run)
    out.print(headline_table(run))
    err.print(f"report: {page}", markup=False)
    return 0
