"""`manta bench calibrate`: how long a replica's steps take, measured for the simulator."""

from __future__ import annotations

from typing import Any

import click

from benchmarks.results_folder import new_folder
from benchmarks.simulate.calibration.runs import calibrate_server
from benchmarks.simulate.calibration.service_file import write_calibration
from manta.commands.bench.options import out_option, target_of, target_options
from manta.console import err, out


@click.command("calibrate")
@target_options
@click.option(
    "--max-batched-tokens",
    type=click.IntRange(min=1),
    required=True,
    help="Tokens of one step of the engine, as it is configured (vLLM: --max-num-batched-tokens).",
)
@click.option(
    "--max-running",
    type=click.IntRange(min=1),
    required=True,
    help="Sequences in its batch, as it is configured (vLLM: --max-num-seqs).",
)
@click.option(
    "--max-prompt-tokens",
    type=click.IntRange(min=64),
    default=4096,
    show_default=True,
    help="Longest prompt to measure.",
)
@out_option
def command(**options: Any) -> int:
    """Measure a service model for `simulate` on a server whose model has one replica and nothing else to do.

    Takes some minutes of closed loops. Writes calibration.json, for `stack.service` of a scenario.
    """
    target = target_of(
        options["url"], options["model"], options["api_key_env"], options["headers"], options["ca_file"]
    )
    folder = new_folder(options["out"], "calibration")
    calibration = calibrate_server(
        target,
        folder,
        max_batched_tokens=options["max_batched_tokens"],
        max_running=options["max_running"],
        max_prompt_tokens=options["max_prompt_tokens"],
        say=err.print,
    )
    write_calibration(
        folder / "calibration.json", calibration, {"model": target.model, "runs": str(folder.name)}
    )
    service, fit = calibration.service, calibration.fit
    out.print(
        f"step {service.step_ms:.2f} ms, {service.step_us_per_running:.0f} us more for each running sequence, "
        f"{service.prefill_us_per_token:.1f} us for each token of a prompt"
    )
    out.print(
        f"residuals: ttft p50 {fit.ttft_residual_p50_ms:.2f} ms and p95 {fit.ttft_residual_p95_ms:.2f} ms, "
        f"tpot p50 {fit.tpot_residual_p50_ms:.2f} ms and p95 {fit.tpot_residual_p95_ms:.2f} ms"
    )
    err.print(f"calibration: {folder / 'calibration.json'}", markup=False)
    return 0
