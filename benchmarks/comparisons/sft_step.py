"""One SFT step: packed rows and logits at masked positions, beside padded rows and full logits."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines import plain_sft_loss
from harness import Report, interleaved, peak_memory
from promptinfill.data.tokenized import TokenizedDataset, attention_mask, collate
from promptinfill.diffusion.masking import response_only
from promptinfill.diffusion.objective import LossWeights
from promptinfill.diffusion.schedules import get_schedule
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.training.data import load_source
from promptinfill.training.recipe import DataSection
from promptinfill.training.trainer import add_noise, noised_loss
from shapes import encoder, head_flops, trunk_flops

VOCABULARY, SEQUENCES, PACKED, STEPS = 30522, 32, 320, 2
_NOISE: dict[str, Any] = {"policy": response_only, "schedule": get_schedule("linear"), "seed": 0}
# LLaDA's SFT: 1/t weights, each answer divided by its length, the mean over sequences.
_WEIGHTS = LossWeights(time="schedule", normalisation="sequence")


def sft_step() -> Report:
    """Vocabulary 30522, response-only masking, the lengths of real SFT records."""
    repeats = 3
    runs = {"baseline": _Run(packed=False), "ours": _Run(packed=True)}
    for run in runs.values():
        run.step(0)  # optimizer state, and warm kernels
    timings, losses = interleaved({name: run.steps for name, run in runs.items()}, repeats)
    real = int(records().lengths[: SEQUENCES * STEPS].sum())
    for name, run in runs.items():
        timings[name] |= {
            "tokens_per_second": round(real / timings[name]["seconds"], 1),
            "positions": sum(b["input_ids"].numel() for b in run.batches),
            "memory_mib": peak_memory(_process, name == "ours"),
        }
    reduced, _ = interleaved({"ours": runs["ours"].steps_in_bf16}, 2)
    difference = max(
        abs(a - b) for a, b in zip(losses["baseline"], losses["ours"], strict=True)
    ) / max(abs(loss) for loss in losses["baseline"])
    return Report(
        "sft_step",
        f"encoder of 26M parameters, vocabulary {VOCABULARY}, {STEPS} steps of {SEQUENCES} records "
        f"of the micro-task generator ({real} tokens), forward, backward and AdamW, float32; "
        f"ours packed into rows of {PACKED}",
        timings["baseline"],
        timings["ours"],
        difference < 1e-5,
        "losses of the same masks differ by less than 1e-5 of their size",
        repeats,
        {
            "tokens": real,
            "loss_difference": difference,
            "bf16_ratio": round(timings["ours"]["seconds"] / reduced["ours"]["seconds"], 3),
        },
    )


@lru_cache(maxsize=1)
def records() -> TokenizedDataset:
    """Records of the embedded model's own training data; prompts of 0 to 5 solved examples."""
    section = DataSection.model_validate(
        {
            "train": {"microtasks": {"count": 4 * SEQUENCES, "seed": 3}},
            "validation": {"microtasks": {"count": 1, "seed": 2, "split": "test"}},
            "max_length": PACKED,
            "eos_padding": 0,
        }
    )
    dlm = MaskedDiffusionLM.from_pretrained("embedded:base", device="cpu")
    return load_source(dlm, section.train, section)


@dataclass
class _Run:
    """One side: its batches and its optimizer. The learning rate is 0: both sides of every step
    see the same weights, and the optimizer does all of its work."""

    packed: bool

    def __post_init__(self) -> None:
        self.dlm = encoder(VOCABULARY)
        self.dlm.train()
        self.optimizer = torch.optim.AdamW(
            self.dlm.parameters(), lr=0.0, fused=True if self.packed else None
        )
        data = records()
        self.batches = [
            collate(
                data,
                np.arange(i * SEQUENCES, (i + 1) * SEQUENCES).tolist(),
                pad_token_id=self.dlm.pad_token_id,
                packed_length=PACKED if self.packed else None,
            )
            for i in range(STEPS)
        ]

    def steps(self) -> list[float]:
        return [self.step(i) for i in range(STEPS)]

    def steps_in_bf16(self) -> list[float]:
        """Under autocast, as the Trainer's ``bf16: true``."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.steps()

    def step(self, index: int) -> float:
        batch = self.batches[index]
        loss = self._ours(batch, index) if self.packed else self._plain(batch, index)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _ours(self, batch: dict[str, Tensor], step: int) -> Tensor:
        return noised_loss(self.dlm, batch, weights=_WEIGHTS, step=step, **_NOISE).total

    def _plain(self, batch: dict[str, Tensor], step: int) -> Tensor:
        noised = add_noise(batch, mask_token_id=self.dlm.mask_token_id, step=step, **_NOISE)
        return plain_sft_loss(
            self.dlm,
            batch["input_ids"],
            noised.input_ids,
            noised.masked,
            _NOISE["schedule"].mask_rate(noised.times),
            noised.eligible.sum(dim=1),
            attention_mask(batch["sequence"]),
        )


def sft_run() -> tuple[_Run, float]:
    """Our side, and the floating-point operations that its ``steps`` need.

    Forward and backward (twice the forward) of the matrix products at real tokens, attention within
    each sequence, and the output layers at masked positions.
    """
    run = _Run(packed=True)
    data, flops = records(), 0.0
    for step, batch in enumerate(run.batches):
        for length in data.lengths[step * SEQUENCES : (step + 1) * SEQUENCES]:
            flops += 3 * trunk_flops(run.dlm, 1, int(length))
        noised = add_noise(batch, mask_token_id=run.dlm.mask_token_id, step=step, **_NOISE)
        flops += 3 * head_flops(run.dlm, int(noised.masked.sum()))
    return run, flops


def _process(packed: bool) -> None:
    _Run(packed).steps()
