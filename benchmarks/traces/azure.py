"""Azure's LLM inference traces of 2023 and 2024 (Azure/AzurePublicDataset): comma-separated values.

`TIMESTAMP` is a date and time with up to seven decimals (those past a microsecond are dropped), with or
without a time zone (UTC where there is none); `ContextTokens` and `GeneratedTokens` are whole numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from benchmarks.traces.base import Format, LineFault, ReadLine, TraceRequest
from benchmarks.traces.csv_columns import Columns, num_tokens

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MICROSECOND = timedelta(microseconds=1)


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as exc:
        raise LineFault(f"TIMESTAMP is not a date and time: {value[:40]!r}") from exc
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _open(first_line: str) -> tuple[ReadLine, bool]:
    columns = Columns(first_line, _COLUMNS)
    origin: datetime | None = None  # the first request; seconds since a far year lose the last digits

    def read(line: str) -> TraceRequest:
        nonlocal origin
        value, prompt, output = columns.of(line)
        moment = _moment(value)
        origin = moment if origin is None else origin
        return TraceRequest(
            at_s=(moment - origin) // _MICROSECOND / 1e6,
            num_prompt_tokens=num_tokens(prompt, "ContextTokens"),
            num_output_tokens=num_tokens(output, "GeneratedTokens"),
        )

    return read, True


AZURE = Format(
    name="azure",
    is_mine=lambda line: line.startswith("TIMESTAMP,"),
    open=_open,
    arrival_field="TIMESTAMP",
    sort_command='(read -r header; echo "$header"; sort -t, -k1,1)',
)
