"""Audit: what a training did to a model, measured before and after with the same draws.

Four groups of measures, each with paired differences and 95 % bootstrap intervals:

- text: ELBO perplexity of held-out prompt-response pairs: the response given the prompt, the prompt
  given the response, and both together;
- tasks: zero-shot accuracy under manual prompts;
- infilling: accuracy under the prompts that the model fills itself, and the log-likelihood of the
  manual instruction in the hole;
- generation: unconditional texts and responses: diversity, repetition, length, EOS, and perplexity
  under a second model.

Checkpoints are any number; one may be several training seeds of a recipe, which are averaged.
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from promptinfill import __version__
from promptinfill.data.encoding import PROMPT, RESPONSE, EncodedSequence, encode_segments
from promptinfill.data.records import read_jsonl, record_segments
from promptinfill.diffusion.likelihood import elbo
from promptinfill.diffusion.noise import derive_key
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import DataError, PromptInfillError
from promptinfill.evaluation.experiment import Effort, Experiment, effort_settings
from promptinfill.evaluation.statistics import Interval, bootstrap_statistic
from promptinfill.evaluation.texts import distinct, repetition, sample_responses, self_bleu
from promptinfill.files import write_json
from promptinfill.infilling.canvas import canvas_segments
from promptinfill.infilling.run import Run
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.tasks import Splits
from promptinfill.templates import Segment, Template

RESULT, TIMING = "audit.json", "timing.json"

TASKS = ("first_letter", "last_item", "sum", "plural", "larger_number", "upper_case")


@dataclass(frozen=True)
class AuditOptions:
    """How much is measured.

    Attributes:
        tasks: for accuracy and infilling.
        effort: rows, candidates and options of infilling.
        infill_tasks: how many of the tasks are infilled too; infilling costs most of an audit.
        data: JSONL of held-out prompts and responses; None takes the micro-task generator's.
        texts: held-out pairs, and generated texts of each kind.
        draws: Monte-Carlo draws of each ELBO.
        room: tokens of an unconditional text.
        judge: a masked diffusion model that scores generated texts; "" for none.
        seed: of rows, draws and samples.
    """

    tasks: tuple[str, ...] = TASKS
    effort: Effort = field(default_factory=lambda: Effort(Splits(20, 16, 50)))
    infill_tasks: int = 6
    data: str | None = None
    texts: int = 128
    draws: int = 32
    room: int = 24
    judge: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Measure:
    """One measure of one checkpoint, as columns over rows that every checkpoint shares.

    The figure is a statistic of the columns (mean, or perplexity of sums), so that resampling rows
    gives its interval, and resampling them for two checkpoints together that of a difference.
    """

    name: str
    group: str
    columns: list[list[float]]
    kind: str = "mean"

    @property
    def figure(self) -> float:
        """The statistic over all rows."""
        return _STATISTICS[self.kind](*map(np.asarray, self.columns))


def _mean(values: Any) -> float:
    return float(np.mean(values))


def _perplexity(nats: Any, tokens: Any) -> float:
    return float(np.exp(np.sum(nats) / np.sum(tokens)))


_STATISTICS: dict[str, Callable[..., float]] = {"mean": _mean, "perplexity": _perplexity}


def audit(
    checkpoints: Mapping[str, Sequence[str]],
    options: AuditOptions | None = None,
    *,
    folder: str | Path | None = None,
    on_step: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure every checkpoint, and each against the first.

    Args:
        checkpoints: by name, the folders or names that open it: several are training seeds of one
            recipe, and their figures are averaged row by row.
        options: how much is measured.
        folder: run folder; a killed audit continues from it.
        on_step: called with (label, done, total) after each finished piece.

    Returns:
        {"rows": [{"measure", "group", "checkpoint", "before", "after", "difference", "low", "high",
        "before_error", "after_error", "n", "by_seed"}], "checkpoints", "notes", "test_touches",
        "cost", "seconds"}. ``by_seed`` holds the difference of each training seed where both sides
        have equally many; errors are bootstrap standard errors.
    """
    started = time.monotonic()
    options = options or AuditOptions()
    if len(checkpoints) < 2:
        raise PromptInfillError("an audit compares at least two checkpoints: --before and --after")
    where = None if folder is None else Path(folder)
    sources = {
        f"{name}#{i}" if len(paths) > 1 else name: path
        for name, paths in checkpoints.items()
        for i, path in enumerate(paths)
    }
    settings = {
        "kind": "audit",
        "promptinfill": __version__,
        "checkpoints": {name: list(paths) for name, paths in checkpoints.items()},
        "options": asdict(options) | {"effort": effort_settings(options.effort)},
    }
    extra = {"judge": options.judge} if options.judge else {}
    experiment = Experiment(Run(where, settings), sources | extra, options.effort)
    pieces = _pieces(options)
    measured: dict[str, list[Measure]] = {}
    total, done = len(sources) * len(pieces), 0
    for source in sources:
        measured[source] = []
        for label, piece in pieces:
            measured[source] += piece(experiment, source, options)
            done += 1
            if on_step:
                on_step(f"{source}: {label}", done, total)
    by_checkpoint = {
        name: [measured[s] for s in sources if s == name or s.startswith(f"{name}#")]
        for name in checkpoints
    }
    first, *others = checkpoints
    result: dict[str, Any] = {
        "rows": [
            row
            for other in others
            for row in _compare(by_checkpoint[first], by_checkpoint[other], other, options.seed)
        ],
        "checkpoints": {name: list(paths) for name, paths in checkpoints.items()},
        "notes": _notes(options),
        "test_touches": experiment.test_touches(),
        "cost": experiment.cost(),
    }
    seconds = round(time.monotonic() - started, 1)
    if where is not None:
        write_json(where / RESULT, result)
        write_json(where / TIMING, {"seconds": seconds})
    return result | {"seconds": seconds}


Piece = Callable[[Experiment, str, AuditOptions], list[Measure]]


def _pieces(options: AuditOptions) -> list[tuple[str, Piece]]:
    return [
        ("held-out text", _text_likelihood),
        ("tasks", _accuracy),
        ("infilling", _infilling),
        ("true instructions", _instructions),
        ("generation", _generation),
    ]


def _notes(options: AuditOptions) -> list[str]:
    notes = []
    if not _has_sacrebleu():
        notes.append("self-BLEU left out: pip install 'promptinfill[eval]'")
    if not options.judge:
        notes.append("generation perplexity left out: name a second model by --judge")
    return notes


# -- comparing -------------------------------------------------------------------------------------


def _compare(
    before: list[list[Measure]], after: list[list[Measure]], name: str, seed: int
) -> list[dict[str, Any]]:
    rows = []
    # Only what every checkpoint could be measured on, in the order of the first.
    shared = [m.name for m in before[0] if all(m.name in _names(s) for s in [*before, *after])]
    for measure in shared:
        old = [_named(seeds, measure) for seeds in before]
        new = [_named(seeds, measure) for seeds in after]
        pooled_old, pooled_new = _pooled(old), _pooled(new)
        found = _difference(pooled_old, pooled_new, seed)
        paired = len(old) == len(new)
        rows.append(
            {
                "measure": measure,
                "group": old[0].group,
                "checkpoint": name,
                "before": pooled_old.figure,
                "after": pooled_new.figure,
                "difference": found.score,
                "low": found.low,
                "high": found.high,
                "before_error": _error(pooled_old, seed),
                "after_error": _error(pooled_new, seed),
                "n": found.n,
                "by_seed": [b.figure - a.figure for a, b in zip(old, new, strict=True)]
                if paired
                else [],
            }
        )
    return rows


def _names(measures: list[Measure]) -> set[str]:
    return {m.name for m in measures}


def _named(measures: list[Measure], name: str) -> Measure:
    return next(m for m in measures if m.name == name)


def _pooled(seeds: list[Measure]) -> Measure:
    """The average over training seeds, row by row."""
    columns = np.mean([measure.columns for measure in seeds], axis=0)
    return Measure(seeds[0].name, seeds[0].group, columns.tolist(), seeds[0].kind)


def _difference(old: Measure, new: Measure, seed: int) -> Interval:
    statistic, width = _STATISTICS[old.kind], len(old.columns)
    if len(old.columns[0]) != len(new.columns[0]):
        raise PromptInfillError(
            f"{old.name}: the checkpoints were measured on {len(old.columns[0])} and "
            f"{len(new.columns[0])} rows; they need the same"
        )

    def gap(*columns: Any) -> float:
        return statistic(*columns[width:]) - statistic(*columns[:width])

    return bootstrap_statistic(gap, *old.columns, *new.columns, seed=seed)


def _error(measure: Measure, seed: int) -> float:
    """Bootstrap standard error of the figure: a quarter of a normal 95 % interval's width."""
    found = bootstrap_statistic(_STATISTICS[measure.kind], *measure.columns, seed=seed)
    return (found.high - found.low) / 3.92


# -- held-out text ---------------------------------------------------------------------------------


def held_out(dlm: MaskedDiffusionLM, options: AuditOptions) -> list[EncodedSequence]:
    """The held-out prompt-response pairs, encoded with their EOS; too long ones are left out.

    Raises:
        DataError: a broken record (file:line), or no pair that fits the model.
    """
    segments = [_record(dlm, item) for item in _held_out_records(options)]
    encoded = encode_segments(dlm, segments, end=True)
    kept = [sequence for sequence in encoded if len(sequence) <= dlm.max_length]
    if not kept:
        raise DataError(f"no held-out text fits the {dlm.max_length} positions of {dlm.name}")
    return kept


def _held_out_records(options: AuditOptions) -> list[tuple[str, dict[str, Any]]]:
    if options.data is not None:
        return list(itertools.islice(read_jsonl(Path(options.data)), options.texts))
    from promptinfill.microtasks.generator import records, render_record

    # Another stream than the one that trainings validate on (seed 2).
    made = map(render_record, records(options.seed + 1000, options.texts, split="test"))
    return [
        (f"generated record {i}", {"prompt": prompt, "response": response})
        for i, (prompt, response) in enumerate(made)
    ]


def _record(dlm: MaskedDiffusionLM, item: tuple[str, dict[str, Any]]) -> Sequence[Segment]:
    where, record = item
    return record_segments(where, record, template=None, tokenizer=dlm.tokenizer)


def nats(
    dlm: MaskedDiffusionLM,
    sequences: Sequence[EncodedSequence],
    eligible: Sequence[Sequence[bool]],
    *,
    draws: int,
    seed: int,
) -> list[float]:
    """Minus the ELBO of the eligible tokens given the others, for each sequence (nats)."""
    longest = max(map(len, sequences))
    device = dlm.device

    def pad(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], device=device)

    tokens = pad([s.ids for s in sequences], dlm.pad_token_id)
    attention = pad([[1] * len(s) for s in sequences], 0).bool()

    def predict(noised: torch.Tensor, rows: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        return dlm.logits_at(dlm.hidden(noised, attention[rows]), masked)

    keys = derive_key(torch.tensor(seed), torch.arange(len(sequences))).to(device)
    found = elbo(
        predict,
        tokens,
        pad([list(map(int, row)) for row in eligible], 0).bool(),
        mask_token_id=dlm.mask_token_id,
        keys=keys,
        samples=draws,
    )
    return [-value for value in found.mean.tolist()]


_REGIONS = {
    "response perplexity, given the prompt": (RESPONSE,),
    "prompt perplexity, given the response": (PROMPT,),
    "text perplexity": (PROMPT, RESPONSE),
}


def _text_likelihood(experiment: Experiment, name: str, options: AuditOptions) -> list[Measure]:
    def compute() -> dict[str, Any]:
        dlm = experiment.dlm(name)
        sequences = held_out(dlm, options)
        columns = {}
        for label, regions in _REGIONS.items():
            eligible = [[region in regions for region in s.region] for s in sequences]
            values = nats(dlm, sequences, eligible, draws=options.draws, seed=options.seed)
            columns[label] = [values, [float(sum(row)) for row in eligible]]
        return {"cell": "text", "model": name, "columns": columns}

    cell = experiment.run.unit(f"text {name}", compute)
    return [Measure(k, "text", v, "perplexity") for k, v in cell["columns"].items()]


# -- tasks and infilling ---------------------------------------------------------------------------


def _accuracy(experiment: Experiment, name: str, options: AuditOptions) -> list[Measure]:
    """Zero-shot: the first manual wording, which nothing chose."""
    return _task_measures(
        "accuracy, manual prompt",
        "tasks",
        {
            task: experiment.tested(
                name, experiment.task(task, options.seed).manual[0], task, options.seed
            )
            for task in options.tasks
        },
    )


def _infilling(experiment: Experiment, name: str, options: AuditOptions) -> list[Measure]:
    scores = {}
    for task in options.tasks[: options.infill_tasks]:
        chosen = experiment.infilled(name, task, options.seed)
        scores[task] = experiment.tested(name, chosen.prompt, task, options.seed)
    return _task_measures("accuracy, own filled prompt", "infilling", scores)


def _task_measures(label: str, group: str, scores: dict[str, list[float]]) -> list[Measure]:
    """The mean over tasks (a row is a task), then each task (a row is a test row)."""
    if not scores:
        return []
    means = [fmean(values) for values in scores.values()]
    out = [Measure(f"{label}: mean of {len(means)} tasks", group, [means])]
    return out + [Measure(f"{label}: {task}", group, [values]) for task, values in scores.items()]


def _instructions(experiment: Experiment, name: str, options: AuditOptions) -> list[Measure]:
    """Perplexity of the manual instruction in the hole, solved examples visible."""

    def compute() -> dict[str, Any]:
        dlm = experiment.dlm(name)
        sequences, eligible = [], []
        for task in options.tasks:
            rows = experiment.task(task, options.seed)
            for i, example in enumerate(rows.examples):
                canvas = instruction_canvas(
                    dlm, Template(rows.template, rows.response), rows.manual[0], example
                )
                if canvas is not None and i < _INSTRUCTION_EXAMPLES:
                    sequences.append(canvas)
                    eligible.append([slot >= 0 for slot in canvas.slot])
        if not sequences:
            return {"cell": "instructions", "model": name, "columns": []}
        values = nats(dlm, sequences, eligible, draws=options.draws, seed=options.seed)
        lengths = [float(sum(row)) for row in eligible]
        return {"cell": "instructions", "model": name, "columns": [values, lengths]}

    cell = experiment.run.unit(f"instructions {name}", compute)
    if not cell["columns"]:
        return []
    label = "perplexity of the true instruction, given one example"
    return [Measure(label, "infilling", cell["columns"], "perplexity")]


_INSTRUCTION_EXAMPLES = 5  # of each task


def instruction_canvas(
    dlm: MaskedDiffusionLM, template: Template, manual: str, example: Mapping[str, str]
) -> EncodedSequence | None:
    """The infilling canvas of one example with the manual instruction standing in the hole.

    Its ``slot`` marks the instruction's tokens. None where the manual prompt is not the template
    with one hole filled.
    """
    before, hole, after = str(template).partition("[MASK")
    after = after.partition("]")[2]
    if not hole or "[MASK" in after or not (manual.startswith(before) and manual.endswith(after)):
        return None
    instruction = manual[len(before) : len(manual) - len(after)].strip()
    ids = dlm.tokenizer(instruction, add_special_tokens=False).input_ids
    if not ids:
        return None
    opened = template.with_hole_lengths([len(ids)])
    canvas = encode_segments(dlm, [canvas_segments(opened, [example])], end=True)[0]
    filled = [
        ids[slot] if slot >= 0 else t for t, slot in zip(canvas.ids, canvas.slot, strict=True)
    ]
    return EncodedSequence(filled, canvas.region, canvas.is_field, canvas.slot)


# -- generation ------------------------------------------------------------------------------------


def _generation(experiment: Experiment, name: str, options: AuditOptions) -> list[Measure]:
    def compute() -> dict[str, Any]:
        dlm = experiment.dlm(name)
        seeds = [int(derive_key(torch.tensor(options.seed), i)) for i in range(options.texts)]
        free = sample_responses(
            dlm,
            [""] * options.texts,
            room=options.room,
            options=SamplingOptions(order="random", temperature=1.0),
            seeds=seeds,
        )
        asked = [_prompt_text(r) for _, r in _held_out_records(options)]
        asked = [p for p in asked if _fits(dlm, p, options.room)]
        answers = sample_responses(
            dlm,
            asked,
            room=options.room,
            options=SamplingOptions(order="confidence", threshold=0.9),
            seeds=seeds[: len(asked)],
        )
        texts = {"unconditional": free, "responses": answers}
        return {
            "cell": "generation",
            "model": name,
            "texts": {kind: [asdict(g) for g in made] for kind, made in texts.items()},
        }

    cell = experiment.run.unit(f"generation {name}", compute)
    out = []
    for kind, made in cell["texts"].items():
        columns = {
            "length in tokens": [float(g["tokens"]) for g in made],
            "share that ends with EOS": [float(g["ended"]) for g in made],
            "repeated bigrams": [repetition(g["text"]) for g in made],
        }
        texts = [g["text"] for g in made]
        for n in (1, 2):
            columns[f"distinct-{n}"] = _blocks(texts, n)
        if _has_sacrebleu() and kind == "unconditional":
            # An empty text resembles nothing: 0 keeps the rows paired.
            values = iter(self_bleu(texts))
            columns["self-BLEU"] = [next(values, 0.0) if text else 0.0 for text in texts]
        out += [Measure(f"{kind}: {k}", "generation", [v]) for k, v in columns.items()]
        if options.judge:
            out.append(_judged(experiment, name, kind, texts, options))
    return out


_BLOCK = 8  # texts: distinct-n is a property of a set, so rows of this measure are small sets


def _blocks(texts: list[str], n: int) -> list[float]:
    sets = [texts[i : i + _BLOCK] for i in range(0, len(texts), _BLOCK)]
    values = [distinct(block, n) for block in sets]
    return [0.0 if math.isnan(value) else value for value in values]


def _judged(
    experiment: Experiment, name: str, kind: str, texts: list[str], options: AuditOptions
) -> Measure:
    """Perplexity of the texts under the second model, by its own ELBO."""

    def compute() -> dict[str, Any]:
        judge = experiment.dlm("judge")
        segments = [[Segment(text, "field", None, "response", None)] for text in texts]
        sequences = encode_segments(judge, segments, end=True)
        eligible = [[region == RESPONSE for region in s.region] for s in sequences]
        values = nats(judge, sequences, eligible, draws=options.draws, seed=options.seed)
        lengths = [float(sum(row)) for row in eligible]
        return {"cell": "judged", "model": name, "columns": [values, lengths]}

    cell = experiment.run.unit(f"judged {name} {kind}", compute)
    label = f"{kind}: perplexity under {options.judge}"
    return Measure(label, "generation", cell["columns"], "perplexity")


def _prompt_text(record: dict[str, Any]) -> str:
    if "prompt" in record:
        return str(record["prompt"])
    return "\n".join(str(m.get("content", "")) for m in record["messages"][:-1])


def _fits(dlm: MaskedDiffusionLM, prompt: str, room: int) -> bool:
    ids = dlm.tokenizer(prompt, add_special_tokens=False).input_ids
    return len(ids) + room + 1 <= dlm.max_length


def _has_sacrebleu() -> bool:
    from importlib.util import find_spec

    return find_spec("sacrebleu") is not None
