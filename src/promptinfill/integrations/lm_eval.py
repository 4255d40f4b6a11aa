"""The model ``promptinfill`` for EleutherAI's lm-evaluation-harness (``promptinfill[eval]``).

    python -m promptinfill.integrations.lm_eval run --model promptinfill \
        --model_args pretrained=embedded:best --tasks TASK --include_path FOLDER

The harness finds models of other packages only once they are imported; this module, run as a
program, registers the model and hands over to the harness's own command line. In Python,
``import promptinfill.integrations.lm_eval`` does the same before ``lm_eval.simple_evaluate``.

A likelihood here is the ELBO of LLaDA's estimator (a lower bound, from ``mc_num`` draws of mask
patterns), as published results of diffusion models on likelihood tasks are.
"""

from typing import Any

import torch

from promptinfill.data.encoding import RESPONSE, encode_segments
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import PromptInfillError
from promptinfill.evaluation.audit import nats
from promptinfill.evaluation.texts import sample_responses
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Segment

try:
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ImportError:
    raise PromptInfillError(
        "the harness is not installed: pip install 'promptinfill[eval]'"
    ) from None


@register_model("promptinfill")
class PromptInfillLM(LM):  # type: ignore[misc]
    """A masked diffusion LM in the harness.

    Args:
        pretrained: embedded:NAME, a folder, or a hub id.
        mc_num: mask patterns drawn for each likelihood.
        max_gen_toks: room for an answer where the task sets none.
        threshold: tokens above this confidence are committed together; "none" takes one a step.
        batch_size: answers denoised together; "auto" is 32.
        dtype: of the weights: float32, bfloat16 or float16.
        seed: of the mask patterns.
        max_batch_size: taken for the harness's sake.
    """

    def __init__(
        self,
        pretrained: str = "embedded:best",
        mc_num: int = 128,
        max_gen_toks: int = 64,
        threshold: float | str = 0.9,
        batch_size: int | str = 32,
        max_batch_size: int | None = None,
        device: str | None = None,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dtype not in ("float32", "bfloat16", "float16"):
            raise PromptInfillError(f"dtype is {dtype!r}: choose float32, bfloat16 or float16")
        self.dlm = MaskedDiffusionLM.from_pretrained(
            pretrained, device=device, dtype=getattr(torch, dtype)
        )
        self.mc_num, self.max_gen_toks, self.seed = int(mc_num), int(max_gen_toks), int(seed)
        self.threshold = None if threshold in (None, "none") else float(threshold)
        self.batch_size = 32 if str(batch_size).startswith("auto") else int(batch_size)

    @property
    def tokenizer_name(self) -> str:
        """For the harness's caches."""
        return self.dlm.name

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """ELBO of each continuation given its context, and whether greedy decoding gives it."""
        pairs = [request.args for request in requests]
        values = self._elbo(pairs)
        greedy = [self._is_greedy(context, continuation) for context, continuation in pairs]
        return list(zip(values, greedy, strict=True))

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """ELBO of each whole text; one longer than the model's positions is an error."""
        return self._elbo([("", request.args[0]) for request in requests])

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Denoise an answer behind each context and cut it at the first stop text."""
        out = []
        for request in requests:
            context, how = request.args
            stops = how.get("until") or []
            room = min(int(how.get("max_gen_toks", self.max_gen_toks)), self._space(context))
            heat = float(how.get("temperature", 0.0)) if how.get("do_sample") else 0.0
            made = sample_responses(
                self.dlm,
                [context],
                room=room,
                options=SamplingOptions(
                    order="confidence", threshold=self.threshold, temperature=heat
                ),
                seeds=[self.seed],
            )[0].text
            for stop in [stops] if isinstance(stops, str) else stops:
                made = made.split(stop)[0] if stop else made
            out.append(made)
        return out

    def _elbo(self, pairs: list[tuple[str, str]]) -> list[float]:
        segments = [_segments(context, continuation) for context, continuation in pairs]
        sequences = encode_segments(self.dlm, segments, end=False)
        for sequence in sequences:
            if len(sequence) > self.dlm.max_length:
                raise PromptInfillError(
                    f"a text of {len(sequence)} tokens does not fit {self.dlm.name} "
                    f"({self.dlm.max_length} positions)"
                )
        values = []
        for start in range(0, len(sequences), self.batch_size):
            batch = sequences[start : start + self.batch_size]
            eligible = [[region == RESPONSE for region in s.region] for s in batch]
            values += nats(self.dlm, batch, eligible, draws=self.mc_num, seed=self.seed)
        return [-value for value in values]

    def _is_greedy(self, context: str, continuation: str) -> bool:
        sequence = encode_segments(self.dlm, [_segments(context, continuation)], end=False)[0]
        room = sum(region == RESPONSE for region in sequence.region)
        if room == 0:
            return True
        made = sample_responses(
            self.dlm,
            [context],
            room=room,
            options=SamplingOptions(order="confidence"),
            seeds=[self.seed],
        )[0].text
        return made == continuation.strip()

    def _space(self, context: str) -> int:
        tokens = len(self.dlm.tokenizer(context, add_special_tokens=False).input_ids)
        space = self.dlm.max_length - tokens - 1
        if space < 1:
            raise PromptInfillError(
                f"a context of {tokens} tokens leaves no room for an answer in {self.dlm.name} "
                f"({self.dlm.max_length} positions)"
            )
        return space


def _segments(context: str, continuation: str) -> list[Segment]:
    kept = context.rstrip(" ")
    moved = context[len(kept) :] + continuation  # a word's token takes the space before it along
    first = [Segment(kept, "field", None, "prompt", None)] if kept else []
    return [*first, Segment(moved, "field", None, "response", None)]


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
