"""How cost grows: candidates, context, hole, vocabulary; ways to commit; variance of likelihoods.

Small shapes (2 layers of width 128), so that the tables take a minute or two.
"""

import time
from typing import Any

import torch

from baselines import plain_infill
from comparisons.infill_threshold import MODEL, TASKS, trade_off
from harness import peak_memory
from promptinfill.data.encoding import RESPONSE, encode_segments
from promptinfill.diffusion.likelihood import elbo
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from promptinfill.models.hole_cache import CacheOptions
from promptinfill.tasks import Splits, get_task
from promptinfill.templates import Template
from shapes import canvases, encoder

_BATCH = 16  # candidates denoised together, as InfillOptions.batch_size
Rows = list[dict[str, Any]]


def tables() -> dict[str, Rows]:
    """Every table by its title."""
    return {
        "Candidates (context 128, hole 8, batches of 16)": by_candidates(),
        "Context (hole 16, 8 candidates over one context, 16 steps)": by_context(),
        "Hole (context 256, 8 candidates)": by_hole(),
        "Vocabulary (context 128, hole 8, 4 candidates, one step)": by_vocabulary(),
        f"Committing several tokens a step ({MODEL}, {', '.join(TASKS[:3])})": trade_off(TASKS[:3]),
        f"Likelihood: spread of an estimate of 16 draws ({MODEL}, nats)": likelihood_spread(),
    }


def _small(vocabulary: int = 4096) -> MaskedDiffusionLM:
    return encoder(vocabulary, 2, 128, 256)


def _seconds(work: Any) -> float:
    work()
    found = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return sorted(found)[1]


def _fill(
    dlm: MaskedDiffusionLM,
    count: int,
    context: int,
    hole: int,
    per_step: int = 1,
    cache: CacheOptions | None = None,
) -> None:
    rows = canvases(dlm, count, context, hole, shared=True)
    for start in range(0, count, _BATCH):
        batch = rows[start : start + _BATCH]
        fill_slots(
            dlm,
            batch,
            seeds=list(range(len(batch))),
            options=SamplingOptions(temperature=0.7, tokens_per_step=per_step),
            allow_eos=False,
            cache=cache,
        )


def by_candidates() -> Rows:
    """Linear time; memory bounded by the batch."""
    rows = []
    for count in (1, 4, 16, 64, 256):
        dlm = _small()
        seconds = _seconds(lambda dlm=dlm, count=count: _fill(dlm, count, 128, 8))
        row = {
            "candidates": count,
            "seconds": round(seconds, 4),
            "ms a candidate": round(1000 * seconds / count, 2),
        }
        if count >= _BATCH:
            row["peak MiB"] = peak_memory(_candidates_process, count)
        rows.append(row)
    return rows


def _candidates_process(count: int) -> None:
    _fill(_small(), count, 128, 8)


def by_context() -> Rows:
    """Exact and cached; attention makes long contexts cost a little more than their length."""
    rows = []
    for context in (64, 128, 256, 512, 1024, 2048):
        dlm = _small()
        exact, cached = (
            _once(
                lambda dlm=dlm, context=context, cache=cache: _fill(dlm, 8, context, 16, 1, cache)
            )
            for cache in (None, CacheOptions(refresh=6))
        )
        rows.append(
            {
                "context": context,
                "exact s": round(exact, 4),
                "cached s": round(cached, 4),
                "ratio": round(exact / cached, 2),
            }
        )
    return rows


def _once(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_hole() -> Rows:
    """One token a step against 8 steps whatever the length."""
    rows = []
    for hole in (4, 8, 16, 32, 64, 128):
        dlm = _small()
        one = _once(lambda dlm=dlm, hole=hole: _fill(dlm, 8, 256, hole))
        few = _once(lambda dlm=dlm, hole=hole: _fill(dlm, 8, 256, hole, -(-hole // 8)))
        rows.append({"hole": hole, "one a step s": round(one, 4), "8 steps s": round(few, 4)})
    return rows


def by_vocabulary() -> Rows:
    """The plain baseline pays for the vocabulary at every position, and float64 noise above 0."""
    rows = []
    for vocabulary in (512, 4096, 30522, 126464):
        dlm = _small(vocabulary)
        made = canvases(dlm, 4, 128, 8, shared=False)
        tokens = torch.tensor([row.ids for row in made])
        holes = torch.tensor([row.slot for row in made]) >= 0
        plain, noisy = (
            _seconds(
                lambda heat=heat, dlm=dlm, tokens=tokens, holes=holes: plain_infill(
                    dlm,
                    tokens,
                    holes,
                    tokens_per_step=8,
                    suppressed=dlm.suppressed,
                    temperature=heat,
                )
            )
            for heat in (0.0, 0.7)
        )
        ours = _seconds(lambda dlm=dlm: _fill(dlm, 4, 128, 8, 8))
        rows.append(
            {
                "vocabulary": vocabulary,
                "plain, greedy s": round(plain, 4),
                "plain, float64 noise s": round(noisy, 4),
                "ours, temperature 0.7 s": round(ours, 4),
                "ratio at 0.7": round(noisy / ours, 1),
            }
        )
    return rows


def likelihood_spread() -> Rows:
    """log p(response | prompt) of test rows under two prompts, over 24 keys."""
    dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
    task = get_task("active_to_passive", Splits(examples=4, validation=4, test=4))
    prompts = [Template(text, task.response) for text in task.manual[:2]]
    sequences = encode_segments(dlm, [p.segments(task.test[0]) for p in prompts], end=True)
    width = max(map(len, sequences))
    tokens = torch.tensor([s.ids + [dlm.pad_token_id] * (width - len(s)) for s in sequences])
    lengths = torch.tensor([len(s) for s in sequences])
    attention = torch.arange(width) < lengths[:, None]
    eligible = torch.tensor(
        [[r == RESPONSE for r in s.region] + [False] * (width - len(s)) for s in sequences]
    )

    def predict(noised: torch.Tensor, rows: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        return dlm.logits_at(dlm.hidden(noised, attention[rows]), masked)

    keys = torch.arange(24)
    found = []
    for name, how in {
        "independent t (MDLM's estimator)": {"method": "time", "stratified": False},
        "stratified t": {"method": "time"},
        "stratified count (ours)": {},
        "stratified count, antithetic masks": {"antithetic": True},
    }.items():
        one, other = (
            elbo(
                predict_row,
                tokens[row].expand(len(keys), -1),
                eligible[row].expand(len(keys), -1),
                mask_token_id=dlm.mask_token_id,
                keys=keys + shift,
                samples=16,
                **how,
            )
            for row, shift, predict_row in (
                (0, 0, _of_row(predict, 0)),
                (1, 0, _of_row(predict, 1)),
            )
        )
        unpaired = other.mean.roll(1)
        found.append(
            {
                "estimator": name,
                "spread of one prompt": round(float(one.mean.std()), 4),
                "of a difference, own masks": round(float((one.mean - unpaired).std()), 4),
                "of a difference, shared masks": round(float((one.mean - other.mean).std()), 4),
            }
        )
    return found


def _of_row(predict: Any, row: int) -> Any:
    """Every row of the batch is a copy of ``row``."""
    return lambda tokens, rows, masked: predict(tokens, torch.full_like(rows, row), masked)
