"""The benchmarks' two sides agree, and the command keeps its contract. Nothing is timed here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2] / "benchmarks"
NAMES = ["infill_30k", "infill_126k", "infill_cached", "infill_threshold", "sft_step"]
NAMES += ["selection_racing", "mfu"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_list_names_every_comparison_and_an_unknown_one_is_wrong_use():
    assert run("--list").stdout.split() == NAMES
    unknown = run("--only", "warp")
    assert unknown.returncode == 2
    assert "choose one of infill_30k" in unknown.stderr


@pytest.mark.parametrize("per_step", [1, 3])
def test_the_plain_sampler_and_ours_fill_alike(per_step):
    from baselines import plain_infill
    from promptinfill.diffusion.sampling import SamplingOptions
    from promptinfill.models.denoising import fill_slots
    from shapes import canvases, encoder

    dlm = encoder(200, 2, 64, 64)
    with torch.no_grad():  # far from indifferent to its input
        for weight in dlm.model.parameters():
            weight.mul_(4 if weight.ndim == 2 else 1)
    rows = canvases(dlm, 3, 24, 7, shared=False)
    suppressed = dlm.suppressed.clone()
    suppressed[dlm.eos_token_id] = True
    tokens = torch.tensor([row.ids for row in rows])
    holes = torch.tensor([row.slot for row in rows]) >= 0
    plain = plain_infill(dlm, tokens, holes, tokens_per_step=per_step, suppressed=suppressed)
    ours = fill_slots(
        dlm,
        rows,
        seeds=[0, 1, 2],
        options=SamplingOptions(tokens_per_step=per_step),
        allow_eos=False,
    )
    assert plain.tolist() == ours.tokens.tolist()
    assert len(set(map(tuple, plain.tolist()))) == 3


def test_ratios_are_baseline_over_ours():
    from harness import Report

    report = Report(
        "n",
        "w",
        {"seconds": 6.0, "memory_mib": 8.0},
        {"seconds": 2.0, "memory_mib": 16.0},
        True,
        "m",
        3,
    )
    values = json.loads(json.dumps(report.to_json()))
    assert (values["time_ratio"], values["memory_ratio"]) == (3.0, 0.5)
    wanted = {"name", "time_ratio", "memory_ratio", "equal", "baseline", "ours", "repeats"}
    assert wanted <= values.keys()
