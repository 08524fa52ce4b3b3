"""What any number of runs against one server share: who it is, what it can do, how to write prompts for it."""

from __future__ import annotations

import dataclasses

from benchmarks.discovery.discover import asks_of, discover_with
from benchmarks.discovery.probe import Probe
from benchmarks.prompts.choose import open_prompts
from benchmarks.run.execute import Prepared
from benchmarks.target import Target
from configs.workload import Workload

PROBE_TIMEOUT_S = 60.0  # a model that scales to zero has to start first


def prepare(workload: Workload, target: Target, tokenizer: str = "auto") -> Prepared:
    """Ask the server what it is and can do for this workload, and find words of one token.

    Args:
        target: its `model` may be empty where the server has one that fits.
        tokenizer: see `open_prompts`.

    Raises:
        BadTarget: it is not there, or does not serve what the workload asks.
        CannotCount: the tokenizer asked for is not to be had.
    """
    with Probe(
        target.url, target.headers, target.api_key, timeout_s=PROBE_TIMEOUT_S, ca_file=target.ca_file
    ) as probe:
        discovery = discover_with(probe, target.model or None, asks_of(workload))
        prompts = open_prompts(probe, discovery, workload.seed, tokenizer)
    found: dict[str, object] = {
        "can_hold_length": discovery.can_hold_length,
        "notes": list(discovery.notes),
        "prompt_lengths": {
            "exactness": prompts.exactness,
            "reason": prompts.reason,
            "tokenizers": list(prompts.tokenizers),
        },
    }
    model = dataclasses.replace(target, model=discovery.model)
    return Prepared(model, prompts, can_hold_length=discovery.can_hold_length, found=found)
