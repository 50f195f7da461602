"""The stopwatch of the benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable


def shortest_s(run: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of a few runs after a warm-up: other work on the machine only ever adds."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
