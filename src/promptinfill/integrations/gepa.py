"""promptinfill in GEPA, with dspy or without it (extra ``promptinfill[gepa]``); imports no dspy.

``InfillProposer`` is both ``dspy.GEPA(instruction_proposer=...)`` and
``gepa.optimize(custom_candidate_proposer=...)``; ``InfillReflectionLM`` is
``gepa.optimize(reflection_strategy=...)`` and fills for many candidates in one batch.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptinfill.errors import PromptInfillError
from promptinfill.infilling.candidates import InfillOptions, Plan, make_plans
from promptinfill.infilling.canvas import Example, check_examples
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.optimizers.guards import Guards
from promptinfill.optimizers.proposers import InfillProposer as HoleFiller
from promptinfill.optimizers.proposers import Proposer, content_seed
from promptinfill.optimizers.remask import header_words, random_span, remask
from promptinfill.optimizers.scorer import BudgetSpentError, Scorer, mean
from promptinfill.templates import Template, escape

ReflectiveDataset = Mapping[str, Sequence[Mapping[str, Any]]]


class InfillProposer:
    """GEPA's proposal step by infilling.

    Each call fills ``draws`` versions of a component and returns the first usable one that differs
    from the current text: one half of them opens holes over words of that text, the other starts
    from ``template``. GEPA's reflective dataset holds no right answers, so the examples are
    given here; those whose inputs failed in the dataset are shown first.

    GEPA swallows what a proposer raises and goes on without proposals. Errors are therefore kept in
    ``errors``; give ``stop_callback`` to GEPA so that it stops, and call ``raise_errors()`` after.

    Args:
        dlm: fills.
        examples: solved, from the training set and never from the validation set.
        template: with holes and the fields of the examples, the answer's last. A component's text
            takes the place of what stands above the first field's line.
        draws: fillings per call.
        seed: with the content of each call it decides the draws; nothing else does, so a resumed
            run (GEPA saves no state of proposers) draws the same.
        fallback: an ordinary proposer, called in place of this one every ``fallback_every``-th
            time, with GEPA's keywords.
        max_prompt_tokens, options: as in ``infill``.
    """

    def __init__(
        self,
        dlm: MaskedDiffusionLM,
        examples: Sequence[Example],
        *,
        template: Template | str = "[MASK:12]\nInput: {input}\nOutput: {output}",
        response: str = "output",
        draws: int = 8,
        seed: int = 0,
        fallback: Callable[..., Mapping[str, str]] | None = None,
        fallback_every: int = 4,
        max_prompt_tokens: int | None = None,
        options: InfillOptions | None = None,
    ) -> None:
        whole = template if isinstance(template, Template) else Template(template, response)
        whole.require_holes()
        if not examples:
            raise PromptInfillError("infilling needs solved examples: GEPA's own data has none")
        if draws < 1 or fallback_every < 1:
            raise PromptInfillError("draws and fallback_every must be at least 1")
        check_examples(whole, examples, "examples")
        self.template = whole
        self.examples = list(examples)
        self.draws = draws
        self.seed = seed
        self.fallback = fallback
        self.fallback_every = fallback_every
        self.filler = HoleFiller(dlm, whole, self.examples, options or InfillOptions())
        self.count_tokens = lambda text: len(
            dlm.tokenizer(text, add_special_tokens=False).input_ids
        )
        self.max_prompt_tokens = max_prompt_tokens
        self.errors: list[Exception] = []
        self.rejected: Counter[str] = Counter()
        self.calls = 0

    def __call__(
        self,
        candidate: dict[str, str],
        reflective_dataset: ReflectiveDataset,
        components_to_update: list[str],
    ) -> dict[str, str]:
        """New texts for the components; dspy passes these by keyword, gepa by position."""
        try:
            self.calls += 1
            if self.fallback is not None and self.calls % self.fallback_every == 0:
                return dict(
                    self.fallback(
                        candidate=candidate,
                        reflective_dataset=reflective_dataset,
                        components_to_update=components_to_update,
                    )
                )
            return self.propose_many([(candidate, reflective_dataset, components_to_update)])[0]
        except Exception as error:
            self.errors.append(error)
            raise

    def propose_many(
        self, jobs: Sequence[tuple[dict[str, str], ReflectiveDataset, list[str]]]
    ) -> list[dict[str, str]]:
        """New texts for many candidates at once: all draws share their denoising batches."""
        templates: list[Template] = []
        plans: list[Plan] = []
        owners: list[tuple[int, str]] = []
        for number, (candidate, dataset, components) in enumerate(jobs):
            for name in components:
                opened = self._open(candidate[name], dataset.get(name, ()))
                owners += [(number, name)] * len(opened)
                for template, plan in opened:
                    templates.append(template)
                    plans.append(replace(plan, number=len(plans)))
        filled = self.filler.fill(templates, plans) if plans else []
        proposals: list[dict[str, str]] = [{} for _ in jobs]
        for (number, name), template, prompt in zip(owners, templates, filled, strict=True):
            if name in proposals[number]:
                continue
            current = jobs[number][0][name]
            text = self._usable(prompt, template)
            if text is None:
                continue
            if text == current:
                self.rejected["unchanged"] += 1
            else:
                proposals[number][name] = text
        return proposals

    def stop_callback(self, state: Any = None) -> bool:
        """True once an error was swallowed: for GEPA's ``stop_callbacks``."""
        return bool(self.errors)

    def raise_errors(self) -> None:
        """Raise the first error that GEPA swallowed, if any."""
        if self.errors:
            raise self.errors[0]

    def _open(
        self, current: str, records: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Template, Plan]]:
        seed = content_seed(self.seed, current, [str(sorted(r.items(), key=str)) for r in records])
        plans = make_plans(self.template, len(self.examples), self.draws, seed, self.filler.options)
        failed = self._failed(records)
        words = escape(current).split()
        out = []
        for i, plan in enumerate(plans):
            template = self.template
            if i % 2 == 0 and words:
                template = self._reopened(current, seed, i)
            keep = [n for n in failed if n not in plan.examples][: len(plan.examples) // 2]
            examples = sorted({*plan.examples[: len(plan.examples) - len(keep)], *keep})
            lengths = [hole.length for hole in template.holes]
            if template is self.template:
                lengths = plan.hole_lengths
            out.append((template, replace(plan, examples=examples, hole_lengths=lengths)))
        return out

    def _reopened(self, current: str, seed: int, number: int) -> Template:
        import numpy as np

        source = str(self.template)
        first = source.index("{" + self.template.fields[0] + "}")
        lines = source[source.rfind("\n", 0, first) + 1 :]
        prompt = Template(escape(current) + "\n" + lines, self.template.response)
        rng = np.random.default_rng([seed, number])
        span = random_span(rng, len(header_words(prompt)), self.filler.share)
        return remask(prompt, [span], self.filler.dlm)

    def _failed(self, records: Sequence[Mapping[str, Any]]) -> list[int]:
        """Numbers of the examples whose inputs occur in the reflective dataset."""
        seen = " ".join(str(record.get("Inputs", "")) for record in records)
        inputs = self.template.prompt_fields
        return [i for i, e in enumerate(self.examples) if any(repr(e[n]) in seen for n in inputs)]

    def _usable(self, prompt: str, template: Template) -> str | None:
        guards = Guards(template, self.count_tokens, self.examples, self.max_prompt_tokens)
        if why := guards.reason(prompt):
            self.rejected[why] += 1
            return None
        whole = Template(prompt, template.response)
        header, _ = whole.header_and_block()
        return "".join(getattr(part, "text", "") for part in header).strip()


class InfillReflectionLM:
    """``gepa.optimize(reflection_strategy=InfillReflectionLM(proposer))``: batched proposals."""

    def __init__(self, proposer: InfillProposer) -> None:
        self.proposer = proposer

    def reflect(
        self,
        candidate: dict[str, str],
        reflective_dataset: ReflectiveDataset,
        components_to_update: list[str],
    ) -> tuple[Any, "InfillReflectionLM"]:
        """One job."""
        return self.reflect_many([(candidate, reflective_dataset, components_to_update)])[0]

    def reflect_many(
        self, jobs: list[tuple[dict[str, str], ReflectiveDataset, list[str]]]
    ) -> list[tuple[Any, "InfillReflectionLM"]]:
        """Many jobs in shared batches; errors are recorded, for GEPA swallows them."""
        proposal = _require_gepa("gepa.proposer.reflective_mutation.reflection_lm")
        try:
            texts = self.proposer.propose_many(jobs)
        except Exception as error:
            self.proposer.errors.append(error)
            raise
        return [(proposal.ReflectionProposal(new_texts=new), self) for new in texts]


def search(start: str, proposer: Proposer, scorer: Scorer, guards: Guards, *, seed: int) -> None:
    """GEPA's search (arXiv 2507.19457) from one prompt, with any of our proposers.

    Minibatches come from the rows behind the validation rows and cost metric calls too. GEPA looks
    at its budget between iterations only and so overshoots it; the scorer does not allow that, and
    ends the search at the call that would.
    """
    gepa = _require_gepa("gepa")
    adapter = _Adapter(scorer, proposer, guards, seed)
    validation = list(range(scorer.num_validation))
    others = list(range(scorer.num_validation, len(scorer.rows))) or validation
    try:
        gepa.optimize(
            seed_candidate={"prompt": start},
            trainset=others,
            valset=validation,
            adapter=adapter,
            reflection_minibatch_size=min(4, len(others)),
            max_metric_calls=2 * scorer.budget,  # ours ends it before
            stop_callbacks=adapter.stop,
            seed=seed,
            logger=_Silent(),
            display_progress_bar=False,
        )
    except BudgetSpentError:
        return


class _Silent:
    def log(self, message: str) -> None:
        """GEPA prints by default; a library does not."""


class _Adapter:
    """GEPA's adapter over a scorer: its data are row numbers."""

    def __init__(self, scorer: Scorer, proposer: Proposer, guards: Guards, seed: int) -> None:
        self.scorer, self.proposer, self.guards, self.seed = scorer, proposer, guards, seed
        self.tried: set[str] = set()
        self.idle = 0
        self.spent = False

    def evaluate(
        self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False
    ) -> Any:
        core = _require_gepa("gepa.core.adapter")
        prompt = candidate["prompt"]
        try:
            scores = self.scorer.score([(prompt, i) for i in batch])
        except BudgetSpentError:
            self.spent = True
            raise
        outputs = [self.scorer.answers[prompt, i] for i in batch]
        traces = [{"row": i, "answer": a} for i, a in zip(batch, outputs, strict=True)]
        return core.EvaluationBatch(
            outputs=outputs, scores=scores, trajectories=traces if capture_traces else None
        )

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        records = [
            {"Inputs": self.scorer.rows[trace["row"]], "Generated Outputs": trace["answer"]}
            for trace in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: ReflectiveDataset,
        components_to_update: list[str],
    ) -> dict[str, str]:
        prompt = candidate["prompt"]
        rows = [sorted(record["Inputs"].items()) for record in reflective_dataset["prompt"]]
        seed = content_seed(self.seed, prompt, rows, self.idle)
        score = mean([v for (known, _), v in self.scorer.known.items() if known == prompt])
        batch = self.proposer.propose([(prompt, score)], 4, seed)
        # A minibatch has judged what was proposed before: again, it would cost an iteration only.
        known = self.tried | {prompt}
        fresh = [text for text in self.guards.keep(batch) if text not in known]
        self.tried.update(fresh[:1])
        self.idle = 0 if fresh else self.idle + 1
        return {"prompt": fresh[0]} if fresh else {}

    def stop(self, state: Any = None) -> bool:
        """The budget is spent, or ten iterations brought nothing to try."""
        return self.spent or self.idle >= 10 or self.scorer.remaining < 1


def _require_gepa(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise PromptInfillError(
            f"this needs gepa ({error}): pip install 'promptinfill[gepa]'"
        ) from None
