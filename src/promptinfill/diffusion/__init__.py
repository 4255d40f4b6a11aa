"""The mathematics of masked diffusion: tensors in, tensors out.

No module here reads a file, knows a tokenizer or imports a model; each is one step of the paper:

    noise       random numbers that belong to a sequence, not to a batch
    schedules   alpha(t) and the weight w(t)
    masking     the forward process, and the policies that say which tokens it may touch
    objective   the loss, at masked positions only
    sampling    the reverse process
    likelihood  Monte-Carlo bounds of log p
"""

from promptinfill.diffusion.likelihood import Estimate, conditional_log_likelihood, elbo
from promptinfill.diffusion.masking import (
    POLICIES,
    Policy,
    Spans,
    StagedPolicy,
    excluding_fields,
    forward_process,
    full_sequence,
    mixture,
    parse_policy,
    prompt_only,
    prompt_spans,
    response_only,
    staged,
)
from promptinfill.diffusion.noise import derive_key, uniform
from promptinfill.diffusion.objective import (
    DiffusionLoss,
    LossWeights,
    chunked_cross_entropy,
    count_items,
    diffusion_loss,
    masked_cross_entropy,
)
from promptinfill.diffusion.sampling import (
    ORDERS,
    PACES,
    Denoised,
    Predict,
    Proposals,
    SamplingOptions,
    StepTrace,
    denoise,
)
from promptinfill.diffusion.schedules import SCHEDULES, Schedule, get_schedule, sample_times

__all__ = [
    "ORDERS",
    "PACES",
    "POLICIES",
    "SCHEDULES",
    "Denoised",
    "DiffusionLoss",
    "Estimate",
    "LossWeights",
    "Policy",
    "Predict",
    "Proposals",
    "SamplingOptions",
    "Schedule",
    "Spans",
    "StagedPolicy",
    "StepTrace",
    "chunked_cross_entropy",
    "conditional_log_likelihood",
    "count_items",
    "denoise",
    "derive_key",
    "diffusion_loss",
    "elbo",
    "excluding_fields",
    "forward_process",
    "full_sequence",
    "get_schedule",
    "masked_cross_entropy",
    "mixture",
    "parse_policy",
    "prompt_only",
    "prompt_spans",
    "response_only",
    "sample_times",
    "staged",
    "uniform",
]
