"""What the field does, re-implemented plainly: the other side of every comparison.

Infilling follows the public samplers of LLaDA and their descendants: logits of the whole vocabulary
at every position, a softmax over all of it, float64 Gumbel noise when the temperature is above 0,
and a Python loop over rows that picks what to commit. Training follows LLaDA's SFT recipe: rows
padded to the longest of the batch, logits everywhere, losses selected by the mask afterwards.

Two of the field's faults are left out, because they would change the result and not only its price:
special tokens are suppressed, and the step budget counts holes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from promptinfill.models.base import MaskedDiffusionLM


@torch.no_grad()
def plain_infill(
    dlm: MaskedDiffusionLM,
    tokens: Tensor,
    holes: Tensor,
    *,
    tokens_per_step: int,
    suppressed: Tensor,
    temperature: float = 0.0,
    attention: Tensor | None = None,
    max_steps: int | None = None,
) -> Tensor:
    """Denoise the holes of ``tokens`` (B, L), most confident first; ``holes`` (B, L) bool."""
    x = torch.where(holes, dlm.mask_token_id, tokens)
    steps = 0
    while bool((open_holes := (x == dlm.mask_token_id) & holes).any()):
        logits = dlm.logits(x, torch.ones_like(holes) if attention is None else attention)
        logits[:, :, suppressed] = -torch.inf
        x0 = gumbel_noise(logits, temperature).argmax(dim=-1)
        probabilities = functional.softmax(logits, dim=-1)
        confidence = probabilities.gather(-1, x0[:, :, None]).squeeze(-1)
        x0 = torch.where(open_holes, x0, x)
        confidence = torch.where(open_holes, confidence, -torch.inf)
        commit = torch.zeros_like(holes)
        for row in range(len(x)):
            left = int(open_holes[row].sum().item())
            best = confidence[row].topk(min(tokens_per_step, left)).indices
            commit[row, best] = True
        x[commit] = x0[commit]
        steps += 1
        if steps == max_steps:
            break
    return x


def gumbel_noise(logits: Tensor, temperature: float) -> Tensor:
    """Logits whose argmax is a sample, in float64 over every position (Gumbel-max)."""
    if temperature == 0:
        return logits
    logits = logits.double()
    noise = -torch.rand_like(logits).log()
    return logits.exp() / noise**temperature


def plain_sft_loss(
    dlm: MaskedDiffusionLM,
    input_ids: Tensor,
    noised: Tensor,
    masked: Tensor,
    mask_rate: Tensor,
    answer_length: Tensor,
    attention: Tensor,
) -> Tensor:
    """LLaDA's SFT loss of a padded batch, from full logits.

    Args:
        input_ids, noised: (B, L) clean and noised tokens.
        masked: (B, L) bool.
        mask_rate: (B, L) float, p(t) of the token's sequence.
        answer_length: (B,) tokens of each answer.
        attention: (B, L) bool, real tokens.
    """
    logits = dlm.logits(noised, attention)
    token_loss = functional.cross_entropy(logits[masked], input_ids[masked], reduction="none")
    token_loss = token_loss / mask_rate[masked]
    row = masked.nonzero()[:, 0]
    return (token_loss / answer_length[row]).sum() / len(input_ids)
