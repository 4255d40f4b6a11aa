"""Share of the machine's matrix-product rate that an SFT step and infilling reach."""

import statistics
import time
from typing import Any

import torch

from comparisons.infill_lossless import CANDIDATES, CONTEXT, HOLE, lossless
from comparisons.sft_step import VOCABULARY, sft_run
from harness import matmul_rate
from shapes import encoder, head_flops, trunk_flops

REPEATS = 3


class Shares:
    """Two shares; ``to_json`` is the contract."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def to_json(self) -> dict[str, Any]:
        """{"name", "sft", "infill", ...}."""
        return self.values


def mfu() -> Shares:
    """Floating-point operations of the matrix products that the work needs (padding, recomputation
    and everything elementwise count as nothing done), by time, by the rate of a 2048^3 float32
    product measured before and after."""
    rates = [matmul_rate()]
    dlm = encoder(VOCABULARY)
    steps = 2
    needed = steps * trunk_flops(dlm, CANDIDATES, CONTEXT)
    open_positions = sum(HOLE - i * HOLE // steps for i in range(steps)) * CANDIDATES
    needed += head_flops(dlm, open_positions)
    infilling = _rate(needed, lambda: lossless(dlm, CANDIDATES, HOLE // steps))
    rates.append(matmul_rate())
    run, flops = sft_run()
    run.step(0)
    training = _rate(flops, run.steps)
    rates.append(matmul_rate())
    peak = statistics.median(rates)
    return Shares(
        {
            "name": "mfu",
            "sft": round(training / peak, 3),
            "infill": round(infilling / peak, 3),
            "matmul_gflops": round(peak / 1e9, 1),
            "sft_gflops": round(training / 1e9, 1),
            "infill_gflops": round(infilling / 1e9, 1),
            "repeats": REPEATS,
            "threads": torch.get_num_threads(),
            "workload": f"encoder of 26M parameters, vocabulary {VOCABULARY}, float32: a packed "
            f"SFT step, and infilling {CANDIDATES} candidates at context {CONTEXT}",
        }
    )


def _rate(flops: float, work: Any) -> float:
    work()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return flops / statistics.median(seconds)
