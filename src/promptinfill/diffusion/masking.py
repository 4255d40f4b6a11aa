"""The forward process: which tokens may be masked (the policy), and which are (the noise).

A policy is a function `(spans, keys) -> eligible`. The paper's change to supervised finetuning is
one line here: `full_sequence` in the place of `response_only`. Randomness comes from the sequence's
own key, so a policy decides the same for a sequence alone, padded, or packed with others.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from promptinfill.diffusion.noise import Stream, derive_key, uniform
from promptinfill.errors import RecipeError


@dataclass(frozen=True)
class Spans:
    """What each token of a batch is; every tensor is (B, L), on one device.

    A row holds one sequence and padding, or several sequences packed end to end. Tokens in neither
    prompt nor response are control tokens (BOS, chat roles): no policy here makes them eligible.
    """

    prompt: Tensor
    """bool: the token belongs to a prompt."""
    response: Tensor
    """bool: the token belongs to a response."""
    field: Tensor
    """bool: the prompt token comes from a field's value (data, not instruction)."""
    sequence: Tensor
    """int64: which sequence of its row the token belongs to, 0, 1, ... below L; -1 is padding."""

    def positions(self) -> Tensor:
        """(B, L) int64: index of each token within its own sequence (0 at the sequence's start)."""
        return _column(self.sequence) - _first_column(self.sequence)

    def to(self, device: torch.device | str) -> "Spans":
        """The same spans on another device."""
        return Spans(
            self.prompt.to(device),
            self.response.to(device),
            self.field.to(device),
            self.sequence.to(device),
        )


Policy = Callable[[Spans, Tensor], Tensor]
"""(spans, keys (B, L) int64: the key of each token's sequence) -> eligible (B, L) bool."""

StagedPolicy = Callable[[float], Policy]
"""progress of the training in [0, 1] -> the policy in force."""


# --- what belongs to one sequence -------------------------------------------------------------


def _column(like: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device).expand_as(like)


def _first_column(sequence: Tensor) -> Tensor:
    """(B, L): the column in which the token's sequence begins."""
    begins = torch.ones_like(sequence, dtype=torch.bool)
    begins[:, 1:] = sequence[:, 1:] != sequence[:, :-1]
    return torch.where(begins, _column(sequence), 0).cummax(dim=1).values


def count_per_sequence(flags: Tensor, sequence: Tensor) -> Tensor:
    """How many tokens are flagged in each sequence.

    Args:
        flags: (B, L) bool.
        sequence: (B, L) int64, as in `Spans`.

    Returns:
        (B, L) int64: column s counts for the row's sequence s. A row has at most L sequences, so no
        shape depends on the data and nothing waits for the device.
    """
    counts = flags.new_zeros((flags.shape[0], flags.shape[1] + 1), dtype=torch.int64)
    counts.scatter_add_(1, sequence + 1, flags.to(torch.int64))  # column 0 collects the padding
    return counts[:, 1:]


def count_in_own_sequence(flags: Tensor, sequence: Tensor) -> Tensor:
    """(B, L) int64: `count_per_sequence`, at every token the count of its own sequence."""
    return count_per_sequence(flags, sequence).gather(1, sequence.clamp(min=0))


# --- policies ---------------------------------------------------------------------------------


def response_only(spans: Spans, keys: Tensor) -> Tensor:
    """The response with its EOS: today's convention, which leaves prompts unlearned."""
    return spans.response


def full_sequence(spans: Spans, keys: Tensor) -> Tensor:
    """Prompt and response together: the paper's change."""
    return spans.prompt | spans.response


def prompt_only(spans: Spans, keys: Tensor) -> Tensor:
    """The prompt, given a clean response."""
    return spans.prompt


def prompt_spans(
    mean_length: float = 6, lengths: Literal["geometric", "uniform"] = "geometric"
) -> Policy:
    """One run of neighbouring prompt tokens per sequence: what a hole looks like at inference.

    Args:
        mean_length: mean of the run's length, before it is cut to the length of the prompt.
        lengths: "geometric" (from 1), or "uniform" over 1 .. 2 * mean_length - 1.

    The start is uniform among those that fit. A run is counted in prompt tokens: it passes over
    control tokens between them. A sequence without prompt has nothing eligible.
    """
    if mean_length < 1:
        raise RecipeError(f"prompt_spans: mean_length is {mean_length}; it must be at least 1")
    if lengths not in ("geometric", "uniform"):
        raise RecipeError(f"prompt_spans: lengths is {lengths!r}; choose geometric or uniform")

    def draw_length(u: Tensor) -> Tensor:
        if lengths == "uniform":
            return 1 + (u * round(2 * mean_length - 1)).floor()
        if mean_length == 1:
            return torch.ones_like(u)
        # Inverse distribution function: P(length > n) = (1 - 1/mean)^n.
        return 1 + (torch.log1p(-u) / math.log1p(-1 / mean_length)).floor()

    def policy(spans: Spans, keys: Tensor) -> Tensor:
        prompt = spans.prompt
        before = prompt.cumsum(dim=1) - prompt.to(torch.int64)
        rank = before - before.gather(1, _first_column(spans.sequence))
        available = count_in_own_sequence(prompt, spans.sequence)
        length = draw_length(uniform(keys, Stream.SPAN_LENGTH)).to(torch.int64)
        length = torch.minimum(length, available)
        starts = available - length + 1
        # float32 may round u * starts up to `starts`
        start = (uniform(keys, Stream.SPAN_START) * starts).to(torch.int64)
        start = torch.minimum(start, starts - 1)
        return prompt & (rank >= start) & (rank < start + length)

    return policy


def excluding_fields(policy: Policy) -> Policy:
    """`policy` without the tokens of field values: what an example is about is not predictable."""

    def without_fields(spans: Spans, keys: Tensor) -> Tensor:
        return policy(spans, keys) & ~spans.field

    return without_fields


def mixture(parts: Sequence[tuple[Policy, float]]) -> Policy:
    """One of several policies for each sequence, drawn by weight from the sequence's key."""
    if not parts:
        raise RecipeError("mixture: name at least one policy")
    if any(not weight >= 0 for _, weight in parts) or not sum(weight for _, weight in parts) > 0:
        weights = ", ".join(str(weight) for _, weight in parts)
        raise RecipeError(f"mixture: weights are {weights}; use numbers >= 0, at least one above 0")
    total = sum(weight for _, weight in parts)

    def policy(spans: Spans, keys: Tensor) -> Tensor:
        u = uniform(keys, Stream.MIXTURE)
        eligible = torch.zeros_like(spans.prompt)
        below = 0.0
        for index, (part, weight) in enumerate(parts):
            upto = below + weight / total if index < len(parts) - 1 else 1.0
            # Each part gets keys of its own: mixtures inside mixtures draw independently.
            chosen = (u >= below) & (u < upto)
            eligible |= chosen & part(spans, derive_key(keys, Stream.MIXTURE, index))
            below = upto
        return eligible

    return policy


def staged(stages: Sequence[tuple[float, Policy]]) -> StagedPolicy:
    """Policies one after the other: (until, policy) pairs, `until` a fraction of the training.

    `staged([(0.7, full_sequence), (1, response_only)])` is the paper's two-stage recipe.
    """
    untils = [until for until, _ in stages]
    if not stages or untils[-1] != 1:
        raise RecipeError(f"stages: the last stage must run until 1; got until = {untils}")
    if any(later <= earlier for earlier, later in zip([0.0, *untils], untils, strict=False)):
        raise RecipeError(f"stages: until must rise from above 0 to 1; got {untils}")

    def at(progress: float) -> Policy:
        return next((policy for until, policy in stages if progress < until), stages[-1][1])

    return at


# --- policies by name, for recipes ------------------------------------------------------------

POLICIES: dict[str, Policy] = {
    "response_only": response_only,
    "full_sequence": full_sequence,
    "prompt_only": prompt_only,
    "prompt_spans": prompt_spans(),
}
"""Policies that a recipe names by a word alone."""


def parse_policy(spec: Any) -> StagedPolicy:
    """Read a policy as a recipe writes it.

    Args:
        spec: a name of `POLICIES` ("response-only" and "response_only" are the same), or a mapping
            with one key (values may nest):
            {"prompt_spans": {"mean_length": 6, "lengths": "geometric"}},
            {"excluding_fields": spec}, {"mixture": {name: weight, ...}},
            {"mixture": [{"policy": spec, "weight": w}, ...]},
            {"stages": [{"until": 0.5, "policy": spec}, ...]}.

    Returns:
        A function from progress in [0, 1] to the policy in force.

    Raises:
        RecipeError: saying which part of the spec is wrong, before any training.
    """
    if isinstance(spec, str):
        name = spec.replace("-", "_")
        if name not in POLICIES:
            known = ", ".join([*POLICIES, *_COMBINATORS])
            raise RecipeError(f"unknown masking policy {spec!r}: choose one of {known}")
        policy = POLICIES[name]
        return lambda progress: policy
    if isinstance(spec, Mapping) and len(spec) == 1:
        ((name, argument),) = spec.items()
        name = str(name).replace("-", "_")
        if name in _COMBINATORS:
            parsed = _COMBINATORS[name](argument)
            parsed(0.0)  # a wrong weight or length shows now, not at the first step
            return parsed
        known = ", ".join([*POLICIES, *_COMBINATORS])
        raise RecipeError(f"unknown masking policy {name!r}: choose one of {known}")
    raise RecipeError(f"a masking policy is a name or a mapping with one key; got {spec!r}")


def _parse_prompt_spans(argument: Any) -> StagedPolicy:
    options = _entry("prompt_spans", argument, allowed=("mean_length", "lengths"))
    mean_length = _number("prompt_spans: mean_length", options.get("mean_length", 6))
    policy = prompt_spans(mean_length, options.get("lengths", "geometric"))
    return lambda progress: policy


def _parse_excluding_fields(argument: Any) -> StagedPolicy:
    inner = parse_policy(argument)
    return lambda progress: excluding_fields(inner(progress))


def _parse_mixture(argument: Any) -> StagedPolicy:
    if isinstance(argument, Mapping):
        argument = [{"policy": name, "weight": weight} for name, weight in argument.items()]
    parts: list[tuple[StagedPolicy, float]] = []
    for entry in _entries("mixture", argument, ("policy", "weight")):
        parts.append((parse_policy(entry["policy"]), _number("mixture: weight", entry["weight"])))
    return lambda progress: mixture([(part(progress), weight) for part, weight in parts])


def _parse_stages(argument: Any) -> StagedPolicy:
    stages: list[tuple[float, StagedPolicy]] = []
    for entry in _entries("stages", argument, ("until", "policy")):
        stages.append((_number("stages: until", entry["until"]), parse_policy(entry["policy"])))
    return lambda progress: staged([(until, part(progress)) for until, part in stages])(progress)


_COMBINATORS: dict[str, Callable[[Any], StagedPolicy]] = {
    "prompt_spans": _parse_prompt_spans,
    "excluding_fields": _parse_excluding_fields,
    "mixture": _parse_mixture,
    "stages": _parse_stages,
}


def _entry(what: str, value: Any, allowed: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{what}: expected a mapping with {', '.join(allowed)}; got {value!r}")
    for key in value:
        if key not in allowed:
            raise RecipeError(f"{what}: unknown key {key!r}; known are {', '.join(allowed)}")
    return value


def _entries(what: str, value: Any, required: Sequence[str]) -> list[Mapping[str, Any]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise RecipeError(f"{what}: expected a list of {', '.join(required)}; got {value!r}")
    entries = [_entry(what, entry, required) for entry in value]
    for entry in entries:
        for key in required:
            if key not in entry:
                raise RecipeError(f"{what}: {dict(entry)!r} has no {key!r}")
    return entries


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{what} must be a number; got {value!r}")
    return float(value)


# --- noise ------------------------------------------------------------------------------------


def forward_process(
    input_ids: Tensor,
    eligible: Tensor,
    mask_rate: Tensor,
    keys: Tensor,
    position: Tensor,
    mask_token_id: int,
) -> tuple[Tensor, Tensor]:
    """q(x_t | x): mask each eligible token on its own with probability `mask_rate`.

    Args:
        input_ids: (B, L) int64, clean.
        eligible: (B, L) bool, from a policy.
        mask_rate: float, p(t) of the token's sequence, (B, L) or broadcast to it. At 1 every
            eligible token is masked, at 0 none.
        keys: (B, L) int64, the key of the token's sequence.
        position: (B, L) int64, index within the token's sequence (`Spans.positions()`); with the
            key it names the draw, which padding and packing therefore leave alone.
        mask_token_id: what masked tokens become.

    Returns:
        (noised ids (B, L) int64, masked (B, L) bool).
    """
    masked = eligible & (uniform(keys, Stream.NOISE, position) < mask_rate)
    return torch.where(masked, mask_token_id, input_ids), masked
