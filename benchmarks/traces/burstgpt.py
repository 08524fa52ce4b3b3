"""BurstGPT's traces (HPMLL/BurstGPT, arXiv:2401.17644): comma-separated values.

`Timestamp` in seconds, `Request tokens` and `Response tokens`; releases differ in the other columns.
Rows with no response tokens are failures of the service that was recorded, and nothing says how long
their answers would have been: they are left out, as in the authors' own files without failures.

Newer releases have a `Session ID`, but do not say whether a request's tokens include the conversation
before it. So nothing is shared between prompts.
"""

from __future__ import annotations

from benchmarks.traces.base import MAX_AT_S, Format, ReadLine, TraceRequest
from benchmarks.traces.csv_columns import Columns, num_tokens, seconds

_COLUMNS = ("Timestamp", "Request tokens", "Response tokens")


def _open(first_line: str) -> tuple[ReadLine, bool]:
    columns = Columns(first_line, _COLUMNS)

    def read(line: str) -> TraceRequest | None:
        moment, prompt, output = columns.of(line)
        at_s = seconds(moment, "Timestamp", MAX_AT_S)
        num_output_tokens = num_tokens(output, "Response tokens", at_least=0)
        if num_output_tokens == 0:
            return None
        return TraceRequest(at_s, num_tokens(prompt, "Request tokens"), num_output_tokens)

    return read, True


BURSTGPT = Format(
    name="burstgpt",
    is_mine=lambda line: line.startswith("Timestamp,"),
    open=_open,
    arrival_field="Timestamp",
    sort_command='(read -r header; echo "$header"; sort -t, -g -k1,1)',
)
