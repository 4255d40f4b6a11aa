"""Two processes (gloo, CPU) take the steps that one process takes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = str(Path(__file__).with_name("distributed_run.py"))


def run(path: Path, folder: Path, processes: int, *overrides: str) -> list[float]:
    """The losses of a run in processes of its own."""
    how = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    ended = subprocess.run(
        [sys.executable, *how, RUN, str(path), str(folder), *overrides],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    logs = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [log["loss"] for log in logs if "loss" in log]


@pytest.mark.parametrize("lora", [None, {"r": 2}])
def test_two_processes_take_the_steps_of_one(
    lora: Any, recipe_file: Callable[..., Path], tmp_path: Path
):
    arguments = {"logging_steps": 1, "eval_steps": 20, "save_steps": 20}
    path = recipe_file(
        lora=lora,
        policy="full_sequence",
        training={"steps": 20, "batch_size": 2, "arguments": arguments},
    )
    accumulate = "training.arguments.gradient_accumulation_steps=2"
    one = run(path, tmp_path / "one", 1, accumulate)
    two = run(path, tmp_path / "two", 2)
    assert len(one) == 20
    assert max(one) - min(one) > 0.05
    assert two == pytest.approx(one, abs=1e-5)
