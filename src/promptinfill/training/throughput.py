"""Speed and memory of a training run, for its log."""

import resource
import sys
import time

import torch
from torch import Tensor


class Throughput:
    """Counts real tokens (padding is not work) between two logs.

    Counts stay on the device until they are read: no step waits for them.
    """

    def __init__(self) -> None:
        self._tokens: Tensor | None = None
        self._since = time.monotonic()

    def add(self, sequence: Tensor) -> None:
        """Count the tokens of a batch; ``sequence`` as in ``data.tokenized.collate``."""
        count = (sequence >= 0).sum()
        self._tokens = count if self._tokens is None else self._tokens + count

    def take(self) -> dict[str, float]:
        """Tokens per second of this process since the last call, and its peak memory in MiB.

        Evaluations in between count as time. Memory is the accelerator's where there is one, else
        the whole process's; it never falls.
        """
        now = time.monotonic()
        tokens = 0 if self._tokens is None else int(self._tokens)
        rate = tokens / max(now - self._since, 1e-9)
        self._tokens, self._since = None, now
        return {"tokens_per_second": round(rate, 1), "memory_mib": round(_peak_mib(), 1)}


def _peak_mib() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
