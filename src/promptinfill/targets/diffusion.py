"""A masked diffusion LM as a target: the response is a canvas of masks behind the prompt."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from promptinfill.data.encoding import RESPONSE, decode, encode_segments
from promptinfill.diffusion.sampling import SamplingOptions, StepTrace
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from promptinfill.targets import Cost
from promptinfill.templates import Segment

GREEDY = SamplingOptions(order="confidence", threshold=0.9)


class DiffusionTarget:
    """Answers prompts with a masked diffusion LM.

    Args:
        dlm: the model.
        options: decoding; by default the most confident tokens first, all above 0.9 at once.
        batch_size: prompts per batch.
        seed: for temperatures above 0.
        on_step: called after every denoising step of every batch, to watch.
    """

    def __init__(
        self,
        dlm: MaskedDiffusionLM,
        *,
        options: SamplingOptions = GREEDY,
        batch_size: int = 64,
        seed: int = 0,
        on_step: Callable[[StepTrace], None] | None = None,
    ) -> None:
        self.dlm = dlm
        self.name = dlm.name
        self.options = options
        self.batch_size = batch_size
        self.seed = seed
        self.on_step = on_step

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the answers besides the model's name."""
        return {
            "fingerprint": self.dlm.fingerprint,
            "options": asdict(self.options),
            "seed": self.seed,
        }

    def answer(self, prompts: list[str], *, max_tokens: int) -> tuple[list[str], Cost]:
        """See :class:`promptinfill.targets.Target`.

        ``max_tokens`` is the length of the response canvas, EOS included.
        """
        segments = [[Segment(text.rstrip(" "), "field", None, "prompt", None)] for text in prompts]
        canvases = encode_segments(self.dlm, segments, end=False)
        for canvas in canvases:
            for slot in range(max_tokens):
                canvas.append(self.dlm.mask_token_id, RESPONSE, slot=slot)
        answers: list[str] = [""] * len(prompts)
        cost = Cost()
        # Rows of like length share a batch; the order does not change any answer.
        order = sorted(range(len(prompts)), key=lambda i: len(canvases[i]))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = [canvases[i] for i in rows]
            done = fill_slots(
                self.dlm,
                batch,
                seeds=[self.seed] * len(batch),
                options=self.options,
                allow_eos=True,
                on_step=self.on_step,
            )
            for i, canvas, filled in zip(rows, batch, done.tokens.tolist(), strict=True):
                answers[i] = self._text(filled[len(canvas) - max_tokens : len(canvas)])
            steps = done.steps.tolist()
            tokens = sum(n * len(canvas) for n, canvas in zip(steps, batch, strict=True))
            cost += Cost(done.row_forwards, tokens)
        return answers, cost

    def count_tokens(self, text: str) -> int:
        """Length of ``text`` in the model's tokens, without BOS."""
        return len(self.dlm.tokenizer(text, add_special_tokens=False).input_ids)

    def _text(self, ids: list[int]) -> str:
        ends = (i for i, token in enumerate(ids) if token in self.dlm.end_token_ids)
        ids = ids[: next(ends, len(ids))]
        return decode(self.dlm, ids).strip()
