"""The reverse process: start from masks, commit some tokens at each step, stop when none is left.

One loop serves a hole in one canvas, a named hole that stands twice, a hole shared by several
canvases (tied conditioning), prior correction and classifier-free guidance. All are the same rule:
a *decision* (sample, slot) may have several *copies* in the batch; the copies' predictions are
combined by weight, and one token is committed to all of them.

    log p(token) = sum over copies of weight * log p_copy(token) + constant

Rows with weight 1 make a product of experts, 1/K the geometric mean of K canvases, an extra row of
weight -(K - 1) takes the prior out again, and weights (1 + s, -s) on a conditional and an
unconditional row are classifier-free guidance of strength s (arXiv 2207.12598).

This module knows nothing of models or text: `predict` maps token ids to logits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from promptinfill.diffusion.noise import Stream, uniform
from promptinfill.errors import ModelError, PromptInfillError

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(tokens (b, L) int64, rows (b,) int64: their indices in the whole batch, masked (b, L) bool)
-> logits (M, V) at the masked positions, in row-major order, any float dtype."""

# Finite, so that a token which two experts forbid does not become inf - inf under a weight < 0.
_FORBIDDEN = -1e30
# Decisions are settled in blocks of about this many (decision, token) entries, to bound memory.
_BLOCK_ENTRIES = 2**26


# --- orders -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proposals:
    """D open decisions, each with the token it would commit to now; what an order may look at."""

    log_probs: Tensor
    """(D, V) float32, of the combined distribution, before temperature."""
    token_ids: Tensor
    """(D,) int64."""
    confidence: Tensor
    """(D,) float32: probability of the proposed token under `log_probs`."""
    slots: Tensor
    """(D,) int64."""
    seeds: Tensor
    """(D,) int64, of the decision's sample."""
    step: int


Order = Callable[[Proposals], Tensor]
"""Proposals -> (D,) float score; the highest of each sample commit first, ties by lower slot."""


def confidence_order(proposals: Proposals) -> Tensor:
    """The most probable proposals first (MaskGIT, arXiv 2202.04200; LLaDA's low-confidence
    remasking)."""
    return proposals.confidence


def entropy_order(proposals: Proposals) -> Tensor:
    """The least uncertain distributions first (Dream's "entropy")."""
    surprise: Tensor = torch.special.entr(proposals.log_probs.exp())  # 0 where p = 0
    return -surprise.sum(dim=1)


def margin_order(proposals: Proposals) -> Tensor:
    """The clearest lead of the best token over the second first (arXiv 2502.06768)."""
    best = proposals.log_probs.topk(min(2, proposals.log_probs.shape[1]), dim=1).values.exp()
    return best[:, 0] - best[:, 1:].sum(dim=1)


def random_order(proposals: Proposals) -> Tensor:
    """Any order alike, by the sample's seed: with one token a step, ancestral sampling."""
    return uniform(proposals.seeds, Stream.ORDER, proposals.step, proposals.slots)


def left_to_right_order(proposals: Proposals) -> Tensor:
    """By slot number."""
    return -proposals.slots.float()


ORDERS: dict[str, Order] = {
    "confidence": confidence_order,
    "entropy": entropy_order,
    "margin": margin_order,
    "random": random_order,
    "left_to_right": left_to_right_order,
}


# --- paces ------------------------------------------------------------------------------------

Pace = Callable[[float], float]
"""Share of the steps taken, in (0, 1] -> share of the decisions committed by then; 1 at 1."""

PACES: dict[str, Pace] = {
    "even": lambda share: share,
    # Few tokens while little is known, many at the end (MaskGIT, arXiv 2202.04200).
    "cosine": lambda share: 1 - math.cos(math.pi / 2 * share),
}


# --- options and results ----------------------------------------------------------------------


@dataclass(frozen=True)
class SamplingOptions:
    """How to denoise.

    order: a name of `ORDERS`.
    tokens_per_step: decisions that each sample commits per step (all that are left, if fewer).
    steps: spread each sample's decisions over this many steps instead; early commits by a bound
        below shorten it. At least one decision is committed a step.
    pace: a name of `PACES`, how `steps` are used.
    threshold: commit, besides, every decision whose confidence is at least this, in (0, 1].
    entropy_bound: commit, besides, the longest run of decisions, best first, whose entropies (nats)
        sum to at most this, the largest of them left out (EB-Sampler, arXiv 2505.24857): a bound
        of what is lost by committing them at once instead of one after the other.
    temperature: 0 takes the most probable token; above, one draws from p^(1/temperature).
    top_k, top_p: draw among the k most probable tokens, among the fewest that hold mass p (both
        after temperature, top_k first); no effect at temperature 0.
    """

    order: str = "confidence"
    tokens_per_step: int = 1
    threshold: float | None = None
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None
    pace: str = "even"
    entropy_bound: float | None = None

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            known = ", ".join(ORDERS)
            raise PromptInfillError(f"unknown decoding order {self.order!r}: choose one of {known}")
        if self.tokens_per_step < 1:
            raise PromptInfillError(
                f"tokens_per_step is {self.tokens_per_step}: at least 1 must be committed per step"
            )
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise PromptInfillError(
                f"threshold is {self.threshold}: a confidence lies above 0 and at most at 1"
            )
        if self.steps is not None and self.steps < 1:
            raise PromptInfillError(f"steps is {self.steps}: denoising takes at least 1")
        if self.pace not in PACES:
            known = ", ".join(PACES)
            raise PromptInfillError(f"unknown pace {self.pace!r}: choose one of {known}")
        if self.entropy_bound is not None and not self.entropy_bound >= 0:
            raise PromptInfillError(f"entropy_bound is {self.entropy_bound}: use 0 nats or more")
        if not 0 <= self.temperature < float("inf"):
            raise PromptInfillError(
                f"temperature is {self.temperature}: use 0 for the most probable token, or more"
            )
        if self.top_k is not None and self.top_k < 1:
            raise PromptInfillError(f"top_k is {self.top_k}: keep at least 1 token")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise PromptInfillError(f"top_p is {self.top_p}: it must be above 0 and at most 1")


@dataclass(frozen=True)
class StepTrace:
    """What one step committed: C decisions, ordered by sample, then slot."""

    step: int
    samples: Tensor
    """(C,) int64."""
    slots: Tensor
    """(C,) int64."""
    token_ids: Tensor
    """(C,) int64."""
    confidences: Tensor
    """(C,) float32."""
    tokens: Tensor
    """(B, L) int64: the whole batch after the step (a copy)."""


@dataclass(frozen=True)
class Denoised:
    """The result, and what it cost. (Inference tensors: clone them before training on them.)"""

    tokens: Tensor
    """(B, L) int64: the input with every slot filled."""
    log_prob: Tensor
    """(N,) float32: per sample, the sum of log-probabilities of its tokens when committed, under
    the combined distribution before temperature."""
    steps: Tensor
    """(N,) int64: steps until the sample was finished."""
    forwards: int
    """Calls of `predict`."""
    row_forwards: int
    """Rows over all calls: rows of finished samples leave the batch."""


# --- the loop ---------------------------------------------------------------------------------


def denoise(
    predict: Predict,
    tokens: Tensor,
    slots: Tensor,
    *,
    mask_token_id: int,
    options: SamplingOptions,
    seeds: Tensor,
    sample: Tensor | None = None,
    row_weight: Tensor | None = None,
    suppressed: Tensor | None = None,
    on_step: Callable[[StepTrace], None] | None = None,
) -> Denoised:
    """Fill the slots of a batch of canvases.

    Args:
        predict: see `Predict`; called under `torch.inference_mode` with the unfinished rows only.
        tokens: (B, L) int64. What stands at slots is ignored (they start as masks).
        slots: (B, L) int64. -1 is frozen; s >= 0 is decision s of the row's sample. A decision may
            stand at several places, of one row or of several rows of the same sample.
        mask_token_id: suppressed always; may lie outside the vocabulary of the logits.
        options: see `SamplingOptions`.
        seeds: (N,) int64, one per sample: its result depends on its rows and this alone.
        sample: (B,) int64 in [0, N): the sample each row belongs to. By default row b is sample b.
        row_weight: (B,) float, default 1: weight of the row's log-probabilities. Copies in one row
            share the row's weight equally.
        suppressed: (V,) bool: tokens that must not come out (pad, specials).
        on_step: called after every step.

    Temperature draws by inverting the distribution function at `uniform(seed, step, slot)`: the
    distribution of Gumbel-max sampling, with one uniform per slot in place of one per vocabulary
    entry.

    Raises:
        ValueError: shapes do not fit.
        ModelError: predict returned NaN, or logits of another shape than promised.
    """
    with torch.inference_mode():
        decisions = _Decisions.of(tokens, slots, seeds, sample, row_weight)
        return _Loop(predict, decisions, mask_token_id, options, suppressed, on_step).run(tokens)


@dataclass(frozen=True)
class _Decisions:
    """The static structure of a batch: D decisions, sorted by sample and slot, and their P copies
    in the batch, in row-major order (the order of the logits)."""

    sample: Tensor  # (D,)
    slot: Tensor  # (D,)
    seed: Tensor  # (D,)
    copies: Tensor  # (D,) how many
    copy_table: Tensor  # (D, max copies): which; only the first copies[d] of line d are meant
    copy_row: Tensor  # (P,)
    copy_column: Tensor  # (P,)
    copy_decision: Tensor  # (P,)
    copy_weight: Tensor  # (P,) float32
    num_samples: int

    @classmethod
    def of(
        cls,
        tokens: Tensor,
        slots: Tensor,
        seeds: Tensor,
        sample: Tensor | None,
        row_weight: Tensor | None,
    ) -> "_Decisions":
        rows, device = tokens.shape[0], tokens.device
        num_samples = seeds.shape[0]
        if sample is None:
            sample = torch.arange(rows, device=device)
        if row_weight is None:
            row_weight = torch.ones(rows, device=device)
        if tokens.ndim != 2 or slots.shape != tokens.shape:
            raise ValueError(
                f"tokens {tuple(tokens.shape)} and slots {tuple(slots.shape)} must be one (B, L)"
            )
        if sample.shape != (rows,) or row_weight.shape != (rows,):
            raise ValueError(
                f"sample {tuple(sample.shape)} and row_weight {tuple(row_weight.shape)} need one "
                f"entry for each of {rows} rows"
            )
        if rows and not bool(((sample >= 0) & (sample < num_samples)).all()):
            raise ValueError(
                f"a row belongs to a sample outside 0..{num_samples - 1}: give it a seed"
            )

        copy_row, copy_column = (slots >= 0).nonzero(as_tuple=True)
        copy_slot = slots[copy_row, copy_column]
        span = int(copy_slot.max()) + 1 if len(copy_slot) else 1
        decision, copy_decision, copies = torch.unique(
            sample[copy_row] * span + copy_slot, return_inverse=True, return_counts=True
        )
        _, twin, twins = torch.unique(
            copy_row * max(len(decision), 1) + copy_decision,
            return_inverse=True,
            return_counts=True,
        )
        by_decision = copy_decision.argsort(stable=True)
        first = copies.cumsum(0) - copies
        most = int(copies.max()) if len(copies) else 1
        place = first[:, None] + torch.arange(most, device=device)
        return cls(
            sample=decision // span,
            slot=decision % span,
            seed=seeds.to(device)[decision // span],
            copies=copies,
            copy_table=by_decision[place.clamp(max=max(len(by_decision) - 1, 0))],
            copy_row=copy_row,
            copy_column=copy_column,
            copy_decision=copy_decision,
            copy_weight=row_weight.float()[copy_row] / twins[twin],
            num_samples=num_samples,
        )


@dataclass(frozen=True)
class _Loop:
    predict: Predict
    decisions: _Decisions
    mask_token_id: int
    options: SamplingOptions
    suppressed: Tensor | None
    on_step: Callable[[StepTrace], None] | None

    def run(self, tokens: Tensor) -> Denoised:
        d = self.decisions
        tokens = tokens.clone()
        tokens[d.copy_row, d.copy_column] = self.mask_token_id
        is_open = torch.ones_like(d.sample, dtype=torch.bool)
        settled = torch.zeros_like(d.sample)  # token ids
        log_prob = torch.zeros_like(d.sample, dtype=torch.float64)
        steps = d.sample.new_zeros(d.num_samples)
        step = row_forwards = 0

        while len(todo := is_open.nonzero().squeeze(1)):
            copy_is_open = is_open[d.copy_decision]
            masked = torch.zeros_like(tokens, dtype=torch.bool)
            masked[d.copy_row, d.copy_column] = copy_is_open
            rows = masked.any(dim=1).nonzero().squeeze(1)
            logits = self.predict(tokens[rows], rows, masked[rows])
            self._check(logits, copy_is_open)

            token_ids, proposed_log_prob, score, entropy = self._propose(
                logits, copy_is_open, todo, step
            )
            commit = self._select(todo, proposed_log_prob.exp(), score, entropy, step)
            chosen = todo[commit]
            settled[chosen] = token_ids[commit]
            log_prob[chosen] = proposed_log_prob[commit].double()
            steps[d.sample[todo]] = step + 1
            is_open[chosen] = False
            tokens[d.copy_row, d.copy_column] = torch.where(
                is_open[d.copy_decision], self.mask_token_id, settled[d.copy_decision]
            )
            row_forwards += len(rows)
            if self.on_step is not None:
                self.on_step(
                    StepTrace(
                        step=step,
                        samples=d.sample[chosen],
                        slots=d.slot[chosen],
                        token_ids=token_ids[commit],
                        confidences=proposed_log_prob[commit].exp(),
                        tokens=tokens.clone(),
                    )
                )
            step += 1

        return Denoised(
            tokens=tokens,
            log_prob=self._sum_per_sample(log_prob),
            steps=steps,
            forwards=step,
            row_forwards=row_forwards,
        )

    def _check(self, logits: Tensor, copy_is_open: Tensor) -> None:
        expected = int(copy_is_open.sum())
        if logits.ndim != 2 or logits.shape[0] != expected:
            raise ModelError(
                f"predict returned logits {tuple(logits.shape)} for {expected} masked positions: "
                "return (M, V), in row-major order of `masked`"
            )
        if self.suppressed is not None and self.suppressed.shape != logits.shape[1:]:
            raise ModelError(
                f"suppressed covers {tuple(self.suppressed.shape)} tokens, the logits "
                f"{logits.shape[1]}: give one entry per entry of the vocabulary"
            )

    def _propose(
        self, logits: Tensor, copy_is_open: Tensor, todo: Tensor, step: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each open decision: token id, its log-probability, score in the order, and entropy
        (0 unless there is a bound to hold it to); (D,) each."""
        d, options = self.decisions, self.options
        line_of_copy = copy_is_open.cumsum(0) - 1
        proposals = []
        for block in torch.split(todo, max(1, _BLOCK_ENTRIES // logits.shape[1])):
            log_probs = self._combine(logits, line_of_copy, block)
            u = uniform(d.seed[block], Stream.TOKEN, step, d.slot[block])
            token_ids = draw(log_probs, u, options.temperature, options.top_k, options.top_p)
            log_prob = log_probs.gather(1, token_ids[:, None]).squeeze(1)
            proposal = Proposals(
                log_probs, token_ids, log_prob.exp(), d.slot[block], d.seed[block], step
            )
            bounded = options.entropy_bound is not None
            entropy = -entropy_order(proposal) if bounded else torch.zeros_like(log_prob)
            proposals.append((token_ids, log_prob, ORDERS[options.order](proposal), entropy))
        token_ids, log_prob, score, entropy = (
            torch.cat(parts) for parts in zip(*proposals, strict=True)
        )
        if bool(log_prob.isnan().any()):
            raise ModelError(
                f"predict returned NaN, or nothing but suppressed tokens, at step {step + 1}: "
                "check the checkpoint and its dtype"
            )
        return token_ids, log_prob, score, entropy

    def _combine(self, logits: Tensor, line_of_copy: Tensor, block: Tensor) -> Tensor:
        """(len(block), V) float32: normalised weighted sums of the copies' log-probabilities.

        Logits are added as they are: a copy's own normaliser is a constant of its decision, and
        falls away in the last line. Suppressed tokens leave before it.
        """
        combined = self._weighted(logits, line_of_copy, block, nth=0)
        copies = self.decisions.copies[block]
        # Copy after copy (few), each over all decisions at once: a sum in a fixed order.
        for nth in range(1, int(copies.max())):
            has = (copies > nth).nonzero().squeeze(1)
            combined.index_add_(0, has, self._weighted(logits, line_of_copy, block[has], nth))
        if self.suppressed is not None:
            combined.masked_fill_(self.suppressed, -torch.inf)
        if 0 <= self.mask_token_id < combined.shape[1]:
            combined[:, self.mask_token_id] = -torch.inf
        return combined.log_softmax(dim=1)

    def _weighted(self, logits: Tensor, line_of_copy: Tensor, block: Tensor, nth: int) -> Tensor:
        """(len(block), V) float32: weight * logits of the nth copy of each decision."""
        copy = self.decisions.copy_table[block, nth]
        expert = logits[line_of_copy[copy]].float().clamp_(min=_FORBIDDEN)
        return expert.mul_(self.decisions.copy_weight[copy][:, None])

    def _select(
        self, todo: Tensor, confidence: Tensor, score: Tensor, entropy: Tensor, step: int
    ) -> Tensor:
        """(D,) bool: which open decisions to commit now."""
        sample = self.decisions.sample[todo]
        # Sort by score, then stably by sample: each sample's decisions stand together, best first.
        # (`todo` is in the order of slots, so equal scores leave the lower slot ahead.)
        best_first = score.argsort(descending=True, stable=True)
        ranking = best_first[sample[best_first].argsort(stable=True)]
        per_sample = sample.bincount(minlength=self.decisions.num_samples)
        first = per_sample.cumsum(0) - per_sample
        rank = torch.empty_like(ranking)
        rank[ranking] = torch.arange(len(ranking), device=rank.device) - first[sample[ranking]]
        commit = rank < self._quota(per_sample, step)[sample]
        if self.options.threshold is not None:
            commit |= confidence >= self.options.threshold
        if self.options.entropy_bound is not None:
            table = entropy.new_zeros((len(per_sample), int(per_sample.max())))
            table[sample, rank] = entropy
            lost = table.cumsum(dim=1) - table.cummax(dim=1).values  # never falls along a line
            commit |= (lost <= self.options.entropy_bound)[sample, rank]
        return commit

    def _quota(self, open_now: Tensor, step: int) -> Tensor:
        """(N,) int64: how many decisions each sample commits at this step, bounds aside."""
        if self.options.steps is None:
            return torch.full_like(open_now, self.options.tokens_per_step)
        every = self.decisions.sample.bincount(minlength=self.decisions.num_samples)
        share = PACES[self.options.pace](min(1.0, (step + 1) / self.options.steps))
        wanted = (every * share - 1e-6).ceil().long()  # less what rounding may add
        return (wanted - (every - open_now)).clamp(min=1)

    def _sum_per_sample(self, values: Tensor) -> Tensor:
        """(N,) float32 from (D,) float64. Through a table, not `index_add`, whose sums come out in
        another order at each run on an accelerator; in float64, so that the table's width, which
        depends on the other samples, leaves no trace in the result."""
        sample = self.decisions.sample
        per_sample = sample.bincount(minlength=self.decisions.num_samples)
        first = per_sample.cumsum(0) - per_sample
        place = torch.arange(len(values), device=values.device) - first[sample]
        width = int(per_sample.max()) if len(values) else 0
        table = values.new_zeros((self.decisions.num_samples, width))
        table[sample, place] = values
        return table.sum(dim=1).float()


def draw(
    log_probs: Tensor,
    u: Tensor,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """One token per line from softmax(log_probs / temperature), cut to top_k, then to top_p.

    Args:
        log_probs: (D, V) float32; -inf never comes out.
        u: (D,) float32 uniforms in [0, 1), at which the distribution function is inverted.
        temperature, top_k, top_p: as in `SamplingOptions`.

    Returns:
        (D,) int64.
    """
    if temperature == 0:
        return log_probs.argmax(dim=1)
    scaled = log_probs / temperature
    candidates: Tensor | None = None
    if top_k is not None and top_k < scaled.shape[1]:
        scaled, candidates = scaled.topk(top_k, dim=1)
    elif top_p is not None:
        scaled, candidates = scaled.sort(dim=1, descending=True, stable=True)
    probs = scaled.softmax(dim=1)
    if top_p is not None:  # sorted here: keep a token while those before it hold less than top_p
        probs = probs * (probs.cumsum(dim=1) - probs < top_p)
    below = probs.cumsum(dim=1)
    pick = torch.searchsorted(below, u[:, None] * below[:, -1:], right=True)
    pick = pick.clamp(max=probs.shape[1] - 1)
    # Rounding in the running sum can, very rarely, point at a token of probability 0.
    pick = torch.where(probs.gather(1, pick) > 0, pick, probs.argmax(dim=1, keepdim=True))
    return (pick if candidates is None else candidates.gather(1, pick)).squeeze(1)
