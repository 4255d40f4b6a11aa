"""Speed and memory in the log."""

import torch

from promptinfill.training import throughput
from promptinfill.training.throughput import Throughput


def test_tokens_per_second_count_real_tokens_since_the_last_log(monkeypatch):
    clock = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr(throughput.time, "monotonic", lambda: next(clock))
    found = Throughput()
    found.add(torch.tensor([[0, 0, 1], [0, -1, -1]]))
    found.add(torch.tensor([[0, -1]]))
    first = found.take()
    assert first["tokens_per_second"] == 5 / 2
    assert first["memory_mib"] > 10  # a Python with torch in it
    assert found.take()["tokens_per_second"] == 0
