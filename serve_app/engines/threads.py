"""How the threads of an engine in this process wait for each other, so that replicas on one machine do not fight.

llama.cpp computes with OpenMP (GCC's libgomp): after each graph its threads spin for 300,000 rounds, some 4 ms, in
case another one comes, and only then give their CPU away. On a machine whose CPUs other replicas share, that is time
taken from them. Inside a graph the threads meet hundreds of times, microseconds apart, and there spinning is right:
a thread that sleeps takes some 50 us to come back. So they spin long enough for the one, and not for the other.

libgomp counts only its own process's threads against the CPUs, so it cannot see that the machine is full.
"""

from __future__ import annotations

import os

from configs.load import openmp_is_configured

# About a fifth of a millisecond: a round is one `pause`, 40 to 140 cycles. libgomp's manual: GOMP_SPINCOUNT.
_SPIN_ROUNDS = 10_000


def share_cpus() -> None:
    """Set it for libraries that are loaded after this; what the user set stays."""
    if not openmp_is_configured():
        os.putenv("GOMP_SPINCOUNT", str(_SPIN_ROUNDS))  # read by libgomp when it is loaded
