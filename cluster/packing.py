"""How many pods hold so many replicas, or nodes so many pods, where the things are of different sizes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

Size = tuple[float, int]  # CPUs, bytes of memory
_ROUNDING = 1e-9  # sums of fractions of CPUs


def num_bins(things: Iterable[Size], room: Size) -> int:
    """Bins of that room which hold them all, the largest placed first, each where it fits first.

    A number that suffices, for what is placed so; not always the least. Each fits into an empty one.
    """
    free: list[Size] = []
    for cpus, memory in sorted(things, reverse=True):
        for index, (free_cpus, free_memory) in enumerate(free):
            if cpus <= free_cpus + _ROUNDING and memory <= free_memory:
                free[index] = (free_cpus - cpus, free_memory - memory)
                break
        else:
            free.append((room[0] - cpus, room[1] - memory))
    return len(free)
