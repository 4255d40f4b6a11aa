"""promptinfill in DSPy programs (extra ``promptinfill[dspy]``, dspy 3.4).

    import dspy
    from promptinfill.integrations.dspy import InfillOptimizer, PlainAdapter, diffusion_lm

    lm = diffusion_lm("embedded:best")
    dspy.configure(lm=lm, adapter=PlainAdapter())
    program = InfillOptimizer(metric, dlm=lm.dlm).compile(program, trainset=rows)

``InfillOptimizer`` fills holes in the instructions of any program on any LM; ``diffusion_lm`` is a
local dLM as the program's LM. They do not need each other.
"""

import contextlib
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import ModelError, PromptInfillError
from promptinfill.infilling.candidates import Candidate, InfillOptions
from promptinfill.infilling.run import Run
from promptinfill.infilling.selection import SelectionOptions, select
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.optimizers.guards import Guards
from promptinfill.optimizers.proposers import InfillProposer, Proposer, content_seed
from promptinfill.optimizers.scorer import Scorer, affordable, mean
from promptinfill.targets import Target
from promptinfill.targets.diffusion import GREEDY, DiffusionTarget
from promptinfill.templates import Template, escape

try:
    import dspy
    from dspy.clients.engines.base import validate_request
    from dspy.lm15 import (
        InvalidRequestError,
        Message,
        Response,
        TextPart,
        Usage,
        response_to_events,
    )
    from dspy.teleprompt import MIPROv2
    from dspy.teleprompt.teleprompt import Teleprompter
except ImportError as error:  # pragma: no cover - the tests install it
    raise PromptInfillError(
        f"the DSPy integration needs dspy 3.4 ({error}): pip install 'promptinfill[dspy]'"
    ) from None

# --- a local model as a program's LM -------------------------------------------------------------


class DiffusionEngine:
    """DSPy 3.4's engine contract over a target: one request in, one response out.

    DSPy's Evaluate calls from many threads. Requests that arrive within ``wait`` seconds of each
    other, or while a batch is being denoised, are answered in one batch; an answer depends on its
    own prompt alone, so batching changes no score.

    Attributes:
        target: answers.
        max_tokens: room for an answer, when the request asks for no other.
        wait: seconds that the first of a batch waits for others.
        batch_sizes: how many requests each batch held.
    """

    def __init__(
        self,
        target: Target,
        *,
        max_tokens: int = 32,
        wait: float = 0.005,
        opened: dict[str, Any] | None = None,
    ) -> None:
        if max_tokens < 1:
            raise PromptInfillError(f"max_tokens is {max_tokens}: an answer needs at least 1")
        self.target = target
        self.max_tokens = max_tokens
        self.wait = wait
        self.opened = opened
        self.batch_sizes: list[int] = []
        self._queue: list[tuple[str, int, Future[str]]] = []
        self._lock = threading.Lock()
        self._working = threading.Lock()

    def complete(self, request: Any) -> Any:
        """Answer one ``dspy.lm15.Request``; called from any thread."""
        text, room = self._read(request)
        mine: Future[str] = Future()
        with self._lock:
            self._queue.append((text, room, mine))
        # Whoever gets the lock answers everybody who waits; the others find their answer there.
        with self._working:
            if not mine.done():
                if self.wait:
                    time.sleep(self.wait)
                self._answer_all()
        return self._response(text, mine.result())

    def stream(self, request: Any) -> Any:
        """The finished answer as events."""
        return response_to_events(self.complete(request))

    def close(self) -> None:
        """Nothing to close: the weights are shared."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "DiffusionEngine":
        """Optimizers deepcopy programs; weights are shared, never copied."""
        return self

    def dump_state(self) -> dict[str, Any]:
        """What opens the same engine in another process."""
        if self.opened is None:
            raise PromptInfillError(
                "this LM was made from an open target; make it with diffusion_lm(NAME) to save it"
            )
        return self.opened

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> "DiffusionEngine":
        """Open what :meth:`dump_state` wrote (dspy asks for ``allow_unsafe_lm_state=True``)."""
        return _open_engine(**state)

    def _read(self, request: Any) -> tuple[str, int]:
        try:
            validate_request(request)
        except ValueError as error:
            raise InvalidRequestError(str(error)) from None
        config = request.config
        for name in ("temperature", "top_p", "top_k", "seed"):
            if getattr(config, name) is not None:
                raise InvalidRequestError(
                    f"{name}={getattr(config, name)}: decoding belongs to the engine; give it to "
                    "diffusion_lm(...), not to the call"
                )
        if config.stop or request.tools:
            raise InvalidRequestError("a diffusion LM knows no stop strings and no tools")
        texts = [m.text or "" for m in request.messages]
        system = request.system
        if system is not None:
            head = system if isinstance(system, str) else "".join(p.text for p in system)
            texts.insert(0, head)
        return "\n".join(texts), config.max_tokens or self.max_tokens

    def _answer_all(self) -> None:
        with self._lock:
            taken, self._queue = self._queue, []
        rooms: dict[int, list[tuple[str, Future[str]]]] = {}
        for text, room, future in taken:
            rooms.setdefault(room, []).append((text, future))
        try:
            for room, waiting in rooms.items():
                self._answer_room(waiting, room)
        except BaseException as error:  # Ctrl-C: nobody may wait for an answer that never comes
            for _, _, future in taken:
                if not future.done():
                    future.set_exception(error)
            raise

    def _answer_room(self, waiting: list[tuple[str, "Future[str]"]], room: int) -> None:
        self.batch_sizes.append(len(waiting))
        try:
            answers, _ = self.target.answer([text for text, _ in waiting], max_tokens=room)
        except Exception as error:
            self._one_by_one(waiting, room, error)
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            future.set_result(answer)

    def _one_by_one(
        self, waiting: list[tuple[str, "Future[str]"]], room: int, error: Exception
    ) -> None:
        """One bad request (too long, say) must not fail the others of its batch."""
        for text, future in waiting:
            try:
                if len(waiting) == 1:
                    raise error
                future.set_result(self.target.answer([text], max_tokens=room)[0][0])
            except ModelError as own:
                future.set_exception(InvalidRequestError(str(own)))
            except Exception as own:
                future.set_exception(own)

    def _response(self, text: str, answer: str) -> Any:
        counts = self.target.count_tokens(text), self.target.count_tokens(answer)
        return Response(
            id=None,
            model=self.target.name,
            message=Message.assistant([TextPart(answer)]),
            finish_reason="stop",
            usage=Usage(input_tokens=counts[0], output_tokens=counts[1], total_tokens=sum(counts)),
        )


class AsyncDiffusionEngine:
    """The same for ``await``: the work happens in a thread, so that calls still meet in a batch."""

    def __init__(self, engine: DiffusionEngine) -> None:
        self.engine = engine

    async def complete(self, request: Any) -> Any:
        """See :meth:`DiffusionEngine.complete`."""
        import anyio.to_thread

        return await anyio.to_thread.run_sync(self.engine.complete, request)

    async def stream(self, request: Any) -> Any:
        """See :meth:`DiffusionEngine.stream`."""
        for event in response_to_events(await self.complete(request)):
            yield event

    async def aclose(self) -> None:
        """Nothing to close."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "AsyncDiffusionEngine":
        return self

    def dump_state(self) -> dict[str, Any]:
        """See :meth:`DiffusionEngine.dump_state`."""
        return self.engine.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> "AsyncDiffusionEngine":
        """See :meth:`DiffusionEngine.load_state`."""
        return cls(_open_engine(**state))


def _open_engine(
    model: str,
    revision: str | None,
    options: dict[str, Any],
    max_tokens: int,
    batch_size: int,
    seed: int,
    wait: float,
) -> DiffusionEngine:
    decoding = SamplingOptions(**options)
    key = repr((model, revision, decoding, max_tokens, batch_size, seed, wait))
    if (shared := _ENGINES.get(key)) is not None:
        return shared  # a loaded program opens a sync and an async engine: one copy of the weights
    dlm = MaskedDiffusionLM.from_pretrained(model, revision=revision)
    target = DiffusionTarget(dlm, options=decoding, batch_size=batch_size, seed=seed)
    opened = {
        "model": model,
        "revision": revision,
        "options": asdict(decoding),
        "max_tokens": max_tokens,
        "batch_size": batch_size,
        "seed": seed,
        "wait": wait,
    }
    engine = DiffusionEngine(target, max_tokens=max_tokens, wait=wait, opened=opened)
    _ENGINES[key] = engine
    return engine


_ENGINES: "weakref.WeakValueDictionary[str, DiffusionEngine]" = weakref.WeakValueDictionary()


class DiffusionLM(dspy.LM):  # type: ignore[misc]
    """A ``dspy.LM`` whose weights are here; ``dlm`` is the model, for an optimizer to fill with."""

    @property
    def dlm(self) -> MaskedDiffusionLM | None:
        """The masked diffusion LM, if the engine's target has one."""
        return getattr(self.engine_object.target, "dlm", None)

    @property
    def engine_object(self) -> DiffusionEngine:
        """The engine: batch sizes and the target's settings."""
        engine: DiffusionEngine = self._engine_spec
        return engine


def diffusion_lm(
    model: str | Target,
    *,
    revision: str | None = None,
    options: SamplingOptions = GREEDY,
    max_tokens: int = 32,
    batch_size: int = 64,
    seed: int = 0,
    wait: float = 0.005,
    cache: bool = True,
) -> DiffusionLM:
    """A local model as a DSPy LM.

    Args:
        model: a checkpoint name or folder, or any target that is open already.
        revision: hub revision.
        options: decoding. DSPy's own arguments (temperature and so on) are refused at the call.
        max_tokens: room for an answer, EOS included.
        batch_size: prompts denoised together.
        seed: for temperatures above 0.
        wait: seconds that the first request of a batch waits for others.
        cache: DSPy's cache. Its key is the request and the model string, which therefore holds the
            weights' fingerprint and every setting that decides an answer.
    """
    if isinstance(model, str):
        engine = _open_engine(model, revision, asdict(options), max_tokens, batch_size, seed, wait)
    else:
        engine = DiffusionEngine(model, max_tokens=max_tokens, wait=wait)
    return DiffusionLM(
        model_string(engine, revision),
        engine=engine,
        async_engine=AsyncDiffusionEngine(engine),
        cache=cache,
        num_retries=0,
    )


def model_string(engine: DiffusionEngine, revision: str | None = None) -> str:
    """The cache's key of an engine: two that may answer differently have two strings."""
    target = engine.target
    settings = {"max_tokens": engine.max_tokens} | getattr(target, "settings", {})
    digest = f"{content_seed(target.name, revision, settings):014x}"
    return f"promptinfill/{target.name.replace('/', '_')}@{revision or 'local'}#{digest}"


class PlainAdapter(dspy.Adapter):  # type: ignore[misc]
    """A program's prompt as small models know it: instruction, ``Name: value`` lines, answer.

    ChatAdapter and JSONAdapter spend over 150 tokens on markers that a small model does not follow.
    This one needs a signature with exactly one output field, and takes the whole answer for it.
    """

    def format(self, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """One user message."""
        output = _only_output(signature)
        lines = [signature.instructions] if signature.instructions else []
        for values in demos:
            if all(name in values for name in (*signature.input_fields, output)):
                lines += [f"{label(n)}: {values[n]}" for n in signature.input_fields]
                lines.append(f"{label(output)}: {values[output]}")
        lines += [f"{label(name)}: {inputs[name]}" for name in signature.input_fields]
        lines.append(f"{label(output)}:")
        return [{"role": "user", "content": "\n".join(lines)}]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The answer, converted to the field's type."""
        from dspy.adapters.utils import parse_value

        output = _only_output(signature)
        return {output: parse_value(completion.strip(), signature.output_fields[output].annotation)}


def _only_output(signature: Any) -> str:
    outputs = list(signature.output_fields)
    if len(outputs) != 1:
        raise PromptInfillError(
            f"PlainAdapter reads one output field, the signature has {', '.join(outputs)}: use "
            "dspy.ChatAdapter() with a larger model, or split the signature"
        )
    return str(outputs[0])


def label(name: str) -> str:
    """A field's name as its line in the prompt begins."""
    return name.replace("_", " ").capitalize()


# --- the optimizer -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """What a compile would cost at most."""

    metric_calls: int
    infill_calls: int
    infill_tokens: int
    seconds: float


@dataclass
class Report:
    """What a compile did.

    Attributes:
        baseline: score of the program as it came, on the validation rows.
        score: of the program returned.
        metric_calls: rows that a program ran on; at most the budget.
        rejected: proposals that the guards refused, by predictor and reason.
        candidates: for each predictor, (instruction, score, rows tried), best first.
        infill_calls, infill_tokens: what filling cost.
    """

    baseline: float = 0.0
    score: float = 0.0
    metric_calls: int = 0
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)
    candidates: dict[str, list[tuple[str, float, int]]] = field(default_factory=dict)
    infill_calls: int = 0
    infill_tokens: int = 0


class InfillOptimizer(Teleprompter):  # type: ignore[misc]
    """Fills holes in a program's instructions and keeps what validates best.

    Args:
        metric: (example, prediction, trace=None) -> number in 0..1, as for dspy's other optimizers.
        dlm: fills the holes; a masked diffusion LM or its name. It need not be the program's LM.
        templates: for each predictor's name, its instruction with holes (braces doubled, as in
            every template); everything outside the holes is frozen. One text serves all predictors.
            Default: a hole of 12 tokens in place of a default instruction, else a hole of 8 before
            the current instruction and one behind it.
        candidates: fillings drawn for each predictor.
        examples: solved examples that a candidate sees.
        budget: metric calls, the baseline included; never exceeded. Default: what the race needs.
        max_prompt_tokens: longest instruction, in the dLM's tokens.
        folder: run folder; the same compile continues a killed one.
        seed: equal seeds give equal programs (with an LM that answers equal requests equally).
        threads: for running the program.
        on_progress: called with (stage, done, total).
        options: how holes are filled.

    After ``compile``, ``report`` tells what was tried. Candidate 0 is the program as it came; it is
    returned (a copy) when nothing beats it.
    """

    def __init__(
        self,
        metric: Callable[..., Any],
        *,
        dlm: MaskedDiffusionLM | str = "embedded:best",
        templates: str | Mapping[str, str] | None = None,
        candidates: int = 32,
        examples: int = 5,
        budget: int | None = None,
        max_prompt_tokens: int | None = None,
        folder: str | Path | None = None,
        seed: int = 0,
        threads: int = 8,
        on_progress: Callable[[str, int, int], None] | None = None,
        options: InfillOptions | None = None,
    ) -> None:
        super().__init__()
        if candidates < 1:
            raise PromptInfillError(f"candidates is {candidates}: draw at least 1")
        self.metric = metric
        self.dlm = MaskedDiffusionLM.from_pretrained(dlm) if isinstance(dlm, str) else dlm
        self.templates = templates
        self.candidates = candidates
        self.budget = budget
        self.max_prompt_tokens = max_prompt_tokens
        self.folder = None if folder is None else Path(folder)
        self.seed = seed
        self.threads = threads
        self.on_progress = on_progress or (lambda stage, done, total: None)
        self.options = options or InfillOptions(examples=examples)
        self.report = Report()

    def compile(
        self,
        student: Any,
        *,
        trainset: list[Any],
        teacher: Any = None,
        valset: list[Any] | None = None,
    ) -> Any:
        """A copy of ``student`` with better instructions, if there are any.

        Args:
            student: the program; left as it is.
            trainset: examples with inputs set; without ``valset`` every second one validates.
            teacher: ignored (the contract has it).
            valset: rows that choose; none of them is shown to the model that fills.

        Raises:
            PromptInfillError: no rows, a row in both sets, a template that does not fit, a budget
                that cannot even score the program as it came.
        """
        shown, rows = _split(trainset, valset)
        program = student.deepcopy()
        jobs = [self._job(name, pred, shown) for name, pred in program.named_predictors()]
        budget = self._budget(len(jobs), len(rows))
        if budget < len(rows):
            raise PromptInfillError(
                f"a budget of {budget} metric calls cannot score the program as it came on "
                f"{len(rows)} validation rows: raise it, or give fewer rows"
            )
        run = Run(self.folder, self._settings(student, jobs, shown, rows, budget))
        report = self.report = Report()
        tally = _Tally(self, run, rows, budget)
        report.baseline = best = mean(tally.score(program, range(len(rows))))
        for turn, (name, template, examples) in enumerate(jobs):
            predictor = dict(program.named_predictors())[name]
            share = tally.remaining // (len(jobs) - turn)
            count = affordable(share, len(rows), SelectionOptions())
            if not count:
                continue
            instruction, _ = _instruction_of(template)
            guards = Guards(instruction, self._count, examples, self.max_prompt_tokens)
            drawn = run.unit(f"draw/{name}", partial(self._draw, template, examples))
            report.infill_calls += drawn["calls"]
            report.infill_tokens += drawn["tokens"]
            texts = guards.keep(drawn["instructions"])
            report.rejected[name] = dict(guards.rejected)
            racers = [
                Candidate(i + 1, [], text, self._count(_plain(text)), {}, 0.0)
                for i, text in enumerate(texts[:count])
            ]
            if not racers:
                continue
            ranked = select(
                racers,
                len(rows),
                partial(tally.score_pairs, program, name),
                SelectionOptions(),
            )
            report.candidates[name] = [(_plain(c.prompt), c.score, len(c.scores)) for c in ranked]
            winner = ranked[0]
            if len(winner.scores) == len(rows) and winner.score > best:
                best = winner.score
                predictor.signature = predictor.signature.with_instructions(_plain(winner.prompt))
        report.score, report.metric_calls = best, tally.calls
        return program

    def estimate(
        self,
        student: Any,
        *,
        trainset: list[Any],
        valset: list[Any] | None = None,
        seconds_per_call: float = 0.0,
    ) -> Estimate:
        """A dry run: the most that ``compile`` would cost. The program is not run.

        One candidate is drawn, to take the time. ``seconds_per_call`` is what you know of your
        program's run on one row; DSPy runs ``threads`` of them at once.
        """
        shown, rows = _split(trainset, valset)
        jobs = [self._job(name, pred, shown) for name, pred in student.named_predictors()]
        calls = self._budget(len(jobs), len(rows))
        infill_calls = infill_tokens = 0
        seconds = calls * seconds_per_call / max(1, self.threads)
        for _, template, examples in jobs:
            proposer = InfillProposer(self.dlm, template, examples, self.options)
            started = time.monotonic()
            proposer.propose([], 1, self.seed)
            seconds += (time.monotonic() - started) * self.candidates
            infill_calls += proposer.cost.model_calls * self.candidates
            infill_tokens += proposer.cost.tokens * self.candidates
        return Estimate(calls, infill_calls, infill_tokens, round(seconds, 3))

    def _budget(self, jobs: int, rows: int) -> int:
        from promptinfill.optimizers.scorer import race_price

        if self.budget is not None:
            return self.budget
        return rows + jobs * race_price(self.candidates, rows, SelectionOptions())

    def _count(self, text: str) -> int:
        return len(self.dlm.tokenizer(text, add_special_tokens=False).input_ids)

    def _job(
        self, name: str, predictor: Any, shown: list[Any]
    ) -> tuple[str, Template, list[dict[str, str]]]:
        """(name, template of the whole prompt, solved examples) of one predictor."""
        signature = predictor.signature
        given = self.templates.get(name) if isinstance(self.templates, Mapping) else self.templates
        source = given if given is not None else _default_template(signature)
        inputs, outputs = list(signature.input_fields), list(signature.output_fields)
        instruction = Template(source)
        if instruction.fields:
            raise PromptInfillError(
                f"the template of predictor {name!r} has a field {{{instruction.fields[0]}}}: an "
                "instruction has none, DSPy adds the inputs; write {{ and }} for braces"
            )
        instruction.require_holes()
        fields = [*inputs, outputs[-1]]
        lines = "".join(f"\n{label(n)}: {{{n}}}" for n in fields)
        whole = Template(source + lines, response=outputs[-1])
        examples = [
            {n: str(row[n]) for n in fields} for row in shown if all(n in row for n in fields)
        ]
        if not examples:
            raise PromptInfillError(
                f"no training example has the fields {', '.join(fields)} of predictor {name!r}: "
                "holes are filled from solved examples of each predictor; add the missing fields "
                "to the trainset (bootstrapped traces will do)"
            )
        return name, whole, examples

    def _draw(self, template: Template, examples: list[dict[str, str]]) -> dict[str, Any]:
        proposer = InfillProposer(self.dlm, template, examples, self.options)
        prompts = proposer.propose([], self.candidates, self.seed)
        _, lines = _instruction_of(template)
        return {
            "instructions": [prompt[: len(prompt) - len(lines)] for prompt in prompts],
            "calls": proposer.cost.model_calls,
            "tokens": proposer.cost.tokens,
        }

    def _settings(
        self, student: Any, jobs: Sequence[Any], shown: Any, rows: Any, budget: int
    ) -> dict[str, Any]:
        from promptinfill.evaluation.scoring import metric_name

        lms = [getattr(p.lm or dspy.settings.lm, "model", None) for p in student.predictors()]
        return {
            "fingerprint": self.dlm.fingerprint,
            "program": repr(student),
            "lms": lms,
            "templates": {name: str(template) for name, template, _ in jobs},
            "demos": [repr(p.demos) for p in student.predictors()],
            "metric": metric_name(self.metric),
            "candidates": self.candidates,
            "seed": self.seed,
            "budget": budget,
            "max_prompt_tokens": self.max_prompt_tokens,
            "options": asdict(self.options),
            "examples": [repr(e) for e in shown],
            "validation": [repr(e) for e in rows],
        }


@dataclass
class _Tally:
    """Runs programs on validation rows, in resumable pieces, and counts."""

    owner: InfillOptimizer
    run: Run
    rows: list[Any]
    budget: int
    calls: int = 0

    @property
    def remaining(self) -> int:
        return self.budget - self.calls

    def score_pairs(
        self, program: Any, name: str, pairs: list[tuple[Candidate, int]]
    ) -> list[float]:
        by_candidate: dict[int, list[int]] = {}
        texts = {c.number: c.prompt for c, _ in pairs}
        for candidate, row in pairs:
            by_candidate.setdefault(candidate.number, []).append(row)
        values: dict[tuple[int, int], float] = {}
        for done, (number, numbers) in enumerate(by_candidate.items(), start=1):
            trial = program.deepcopy()
            predictor = dict(trial.named_predictors())[name]
            predictor.signature = predictor.signature.with_instructions(_plain(texts[number]))
            for row, value in zip(numbers, self.score(trial, numbers), strict=True):
                values[number, row] = value
            self.owner.on_progress(f"validating {name}", done, len(by_candidate))
        return [values[candidate.number, row] for candidate, row in pairs]

    def score(self, program: Any, numbers: Sequence[int]) -> list[float]:
        self.calls += len(numbers)
        content = [p.signature.instructions for p in program.predictors()]
        unit = f"score/{content_seed(content, list(numbers)):x}"
        return list(self.run.unit(unit, lambda: self._evaluate(program, list(numbers))))

    def _evaluate(self, program: Any, numbers: list[int]) -> list[float]:
        with _log_level(logging.ERROR):  # Evaluate logs a line each time
            return self._run_rows(program, numbers)

    def _run_rows(self, program: Any, numbers: list[int]) -> list[float]:
        evaluate = dspy.Evaluate(
            devset=[self.rows[i] for i in numbers],
            metric=self.owner.metric,
            num_threads=self.owner.threads,
            display_progress=False,
            max_errors=10**9,
            failure_score=0.0,
        )
        return [float(score) for _, _, score in evaluate(program).results]


def _default_template(signature: Any) -> str:
    current = signature.instructions
    if current == signature.with_instructions(None).instructions or not current.strip():
        return "[MASK:12]"
    return f"[MASK:8]\n{escape(current)}\n[MASK:8]"


def _instruction_of(template: Template) -> tuple[Template, str]:
    """The instruction's own template, and the lines of the fields behind it."""
    source = str(template)
    first = source.index("{" + template.fields[0] + "}")
    cut = source.rindex("\n", 0, first)
    return Template(source[:cut]), source[cut:]


def _plain(instruction: str) -> str:
    """Template syntax to the text that it stands for."""
    return Template(instruction).render({})


def _split(trainset: list[Any], valset: list[Any] | None) -> tuple[list[Any], list[Any]]:
    shown, rows = (trainset, valset) if valset is not None else (trainset[::2], trainset[1::2])
    if not shown or not rows:
        raise PromptInfillError(
            "infilling needs at least one training example to see and one to validate on: "
            "give two or more, or a valset"
        )
    keys = {repr(sorted(row.inputs().items())) for row in shown}
    for i, row in enumerate(rows):
        if repr(sorted(row.inputs().items())) in keys:
            raise PromptInfillError(
                f"validation row {i} is also a training example: the model that fills must not "
                "see the rows that choose"
            )
    return list(shown), list(rows)


# --- MIPROv2 -------------------------------------------------------------------------------------


class InfillMIPROv2(MIPROv2):  # type: ignore[misc]
    """MIPROv2 whose instruction candidates are infilled. Experimental.

    It overrides ``_propose_instructions``, a private method of dspy (tested with 3.4.1). Candidate
    0 stays the current instruction. Nothing is asked of ``prompt_model``.

    Args:
        proposer: made for each predictor from (predictor's name, template, examples); ``None``
            fills with ``dlm``.
        dlm, templates, infill_options: as in :class:`InfillOptimizer`.
        Everything else: as in ``dspy.MIPROv2``.
    """

    def __init__(
        self,
        *args: Any,
        dlm: MaskedDiffusionLM | str = "embedded:best",
        templates: str | Mapping[str, str] | None = None,
        infill_options: InfillOptions | None = None,
        infill_seed: int = 0,
        proposer: Proposer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.infill = InfillOptimizer(
            self.metric, dlm=dlm, templates=templates, options=infill_options, seed=infill_seed
        )
        self.proposer = proposer
        self.rejected: dict[str, dict[str, int]] = {}

    def _propose_instructions(
        self, program: Any, trainset: list[Any], *args: Any, **kwargs: Any
    ) -> dict[int, list[str]]:
        count = kwargs.get("num_instruct_candidates", args[-1] if args else None) or 8
        out: dict[int, list[str]] = {}
        for i, (name, predictor) in enumerate(program.named_predictors()):
            _, template, examples = self.infill._job(name, predictor, trainset)
            instruction, lines = _instruction_of(template)
            guards = Guards(instruction, self.infill._count, examples)
            proposer = self.proposer or InfillProposer(
                self.infill.dlm, template, examples, self.infill.options
            )
            prompts = proposer.propose([], 2 * count, self.infill.seed)
            texts = guards.keep(p[: len(p) - len(lines)] for p in prompts if p.endswith(lines))
            self.rejected[name] = dict(guards.rejected)
            current = predictor.signature.instructions
            out[i] = [current, *map(_plain, texts[: count - 1])]
        # MIPROv2 draws one number for all predictors: their lists need one length.
        shortest = min(map(len, out.values()))
        return {i: texts[:shortest] for i, texts in out.items()}


def search_mipro(
    start: str, proposer: Proposer, scorer: Scorer, guards: Guards, *, seed: int
) -> None:
    """MIPROv2's search (Bayesian, through optuna) over ``proposer``'s instructions, no demos.

    Every trial is a full validation. It has as many instructions as the budget can validate, so the
    budget holds exactly; a trial that meets one again costs nothing here, and it gets twice as many
    trials as instructions for that.
    """
    task = _TaskModule(start, scorer)
    rows = [
        dspy.Example(row=i, **scorer.rows[i]).with_inputs("row") for i in range(len(scorer.rows))
    ]
    count = scorer.remaining // scorer.num_validation
    if count < 2:
        scorer.validate(start)
        return
    texts = guards.keep(proposer.propose([], 2 * count, seed))
    candidates = [start, *texts[: count - 1]]
    optimizer = _GivenMIPROv2(
        candidates,
        metric=lambda example, prediction, trace=None: prediction.value,
        prompt_model=dspy.utils.DummyLM([{}]),
        task_model=dspy.utils.DummyLM([{}]),
        auto=None,
        num_candidates=len(candidates),
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        seed=seed,
        num_threads=1,
        verbose=False,
    )
    random.seed(seed)
    validation = rows[: scorer.num_validation]
    others = rows[scorer.num_validation :] or validation
    with dspy.context(lm=dspy.utils.DummyLM([{}])), _silent():
        optimizer.compile(
            task,
            trainset=others,
            valset=validation,
            num_trials=2 * count,
            minibatch=False,
            program_aware_proposer=False,
            data_aware_proposer=False,
            tip_aware_proposer=False,
            fewshot_aware_proposer=False,
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """MIPROv2 shows bars and logs each trial, whatever it is told; a library does not."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
        _log_level(logging.ERROR),
    ):
        yield


@contextlib.contextmanager
def _log_level(level: int) -> Iterator[None]:
    logger = logging.getLogger("dspy")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


class _TaskModule(dspy.Module):  # type: ignore[misc]
    """One predictor whose instruction is a prompt in template syntax; the scorer answers."""

    def __init__(self, start: str, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = [scorer]  # in a list: dspy's deepcopy leaves what it cannot copy
        self.predict = dspy.Predict(dspy.Signature("row -> value", start))

    def deepcopy(self) -> "_TaskModule":
        made = _TaskModule(self.predict.signature.instructions, self.scorer[0])
        made.predict.demos = list(self.predict.demos)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "_TaskModule":
        return self.deepcopy()

    def forward(self, row: int) -> Any:
        value = self.scorer[0].score([(self.predict.signature.instructions, row)])[0]
        return dspy.Prediction(value=value)


class _GivenMIPROv2(MIPROv2):  # type: ignore[misc]
    """MIPROv2 over a list of instructions."""

    def __init__(self, candidates: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.candidates = candidates

    def _propose_instructions(self, *args: Any, **kwargs: Any) -> dict[int, list[str]]:
        return {0: list(self.candidates)}

    def _bootstrap_fewshot_examples(self, *args: Any, **kwargs: Any) -> None:
        """No demos are wanted; MIPROv2 would run the program for some, outside its trials."""
