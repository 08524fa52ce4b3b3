"""What can be wrong with a measurement before or around it.

    BenchmarkError          the message names the thing, on one line
    ├── BadTrace            a trace's line cannot be read; the message has its number
    ├── BadTarget           the server cannot be measured as asked
    └── CannotCount         nothing tells how many tokens a text has; prompts are then approximate

What goes wrong with one request is no exception but an outcome of its record.
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """A measurement that cannot be made as asked."""


class BadTrace(BenchmarkError):
    """A trace that cannot be replayed."""


class BadTarget(BenchmarkError):
    """A server that is not there, or does not serve what the workload asks."""


class CannotCount(BenchmarkError):
    """A server or tokenizer that does not tell how many tokens a text has."""
