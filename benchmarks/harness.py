"""Two sides of one comparison: interleaved timings in one process, peak memory in fresh ones."""

import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Side = Callable[[], Any]
"""One piece of work to be timed; what it returns is compared with the other side's."""


@dataclass
class Report:
    """What a comparison found; ``to_json`` is the contract of ``run.py --json``.

    Attributes:
        name: of the comparison.
        workload: one sentence: what both sides did.
        baseline, ours: figures of either side; "seconds" is a median, "spread" (min, max).
        equal: whether both sides gave the same result, in the sense that ``equal_means`` states.
        repeats: timed runs of each side.
        extra: further figures, at the top level of the JSON.
    """

    name: str
    workload: str
    baseline: dict[str, Any]
    ours: dict[str, Any]
    equal: bool
    equal_means: str
    repeats: int
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; ratios are baseline over ours, so larger is better."""
        return {
            "name": self.name,
            "time_ratio": self._ratio("seconds"),
            "memory_ratio": self._ratio("memory_mib"),
            "equal": self.equal,
            "baseline": self.baseline,
            "ours": self.ours,
            "repeats": self.repeats,
            "workload": self.workload,
            "equal_means": self.equal_means,
        } | self.extra

    def _ratio(self, key: str) -> float | None:
        if key not in self.baseline or key not in self.ours:
            return None
        return round(self.baseline[key] / self.ours[key], 3)


def interleaved(sides: dict[str, Side], repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the sides in turn, once to warm up unless ``repeats`` is 1, then ``repeats`` times.

    Returns:
        Timings by side, {"seconds": median, "spread": [min, max]}, and the last results by side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, Any] = {}
    for _ in range(repeats):
        for name, side in sides.items():
            gc.collect()
            started = time.perf_counter()
            results[name] = side()
            seconds[name].append(time.perf_counter() - started)
    timings = {
        name: {
            "seconds": round(statistics.median(values), 4),
            "spread": [round(min(values), 4), round(max(values), 4)],
        }
        for name, values in seconds.items()
    }
    return timings, results


def peak_memory(work: Callable[..., Any], *args: Any) -> float:
    """Peak resident memory, in MiB, of a fresh Python process that calls ``work(*args)``.

    All of it: interpreter, libraries, weights, activations. ``work`` is importable by name.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report_peak, args=(sender, work, args))
    process.start()
    sender.close()
    try:
        peak = receiver.recv()
    except EOFError:
        process.join()
        raise MemoryError(
            f"the process that measured {work.__name__} ended with code {process.exitcode}: "
            "probably too little memory"
        ) from None
    process.join()
    return round(float(peak), 1)


def _report_peak(sender: Any, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    work(*args)
    sender.send(_peak_mib())
    sender.close()


def _peak_mib() -> float:
    """Of this process alone: Linux's ru_maxrss also remembers the parent that it was forked from,
    so its own high-water mark is read there."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def available_gib() -> float:
    """Memory that this machine can still give, in GiB; infinity where it does not say."""
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return float("inf")


def matmul_rate(size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations per second of a float32 matrix product: what the machine can do."""
    import torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
