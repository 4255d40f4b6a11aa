"""A run folder as a page: what kind of run it is, and which tables and plots say it best."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from promptinfill.errors import DataError
from promptinfill.evaluation import plots
from promptinfill.evaluation.document import Block, Code, Page, Paragraph, Picture, Section, Table
from promptinfill.evaluation.texts import failure_kind

_SHOWN = 10


def build_page(folder: str | Path) -> Page:
    """The report of a finished run of reproduce, transfer, audit, infill or train.

    Raises:
        DataError: no run there, an unfinished one, or a file that cannot be read.
    """
    where = Path(folder)
    if (where / "log.jsonl").is_file() and not (where / "settings.json").is_file():
        return _training(where)
    settings = _read(where / "settings.json")
    kind = settings.get("kind", "infill")
    build = {
        "reproduce": _reproduce,
        "transfer": _transfer,
        "audit": _audit,
        "infill": _infill,
    }.get(kind)
    if build is None:
        raise DataError(f"{where}: a run of unknown kind {kind!r}")
    page = build(where, settings)
    if not plots.can_plot():
        note = "Plots are left out: pip install 'promptinfill[report]'."
        page.sections.append(Section("Plots", [Paragraph(note)]))
    return page


# -- kinds of runs ---------------------------------------------------------------------------------


def _reproduce(where: Path, settings: dict[str, Any]) -> Page:
    result, cells = _read(where / "reproduce.json"), _cells(where)
    suite = settings["suite"]
    claims = result["claims"]
    rows = [
        [str(c["id"]), c["statement"], _signed(c["figure"]), _range(c), c["verdict"]]
        for c in claims
    ]
    columns = ["", "claim", "figure", "95 % interval", "verdict"]
    reasons = [Paragraph(f"Claim {c['id']}: {c['reason']}.") for c in claims]
    parts = [(p, c["id"]) for c in claims for p in c["parts"]]
    names = [m["model"] for m in result["models"]]
    return Page(
        "Do the claims hold?",
        f"{suite['description']}: {len(suite['tasks'])} tasks, {len(suite['seeds'])} seed(s), "
        f"{suite['rows']['test']} test rows each",
        [
            Section("Claims", [Table(columns, rows, (2, 3)), *reasons]),
            Section(
                "Parts of the rules",
                _plot(
                    "parts",
                    lambda: plots.intervals(
                        [
                            (f"{n}: {p['statement']}"[:60], p["figure"], p["low"], p["high"])
                            for p, n in parts
                            if n != 5
                        ],
                        "difference in accuracy, with 95 % interval over tasks",
                    ),
                    "Every inequality that a verdict rests on (claim 5 counts tokens, see above).",
                ),
            ),
            Section(
                "Accuracy by model",
                [
                    *_plot(
                        "models",
                        lambda: plots.pairs_of_bars(
                            names,
                            {k: [m[k] for m in result["models"]] for k in ("manual", "infilled")},
                            "test accuracy",
                        ),
                        "Each model under the manual prompt that its validation rows chose, and "
                        "under the prompt that it filled itself.",
                    ),
                    _by_task(result["models"]),
                ],
            ),
            Section("Transfer", _matrix(result["transfer"])),
            Section("Length", _lengths(result["models"])),
            Section("Ablations", _ablations(result["ablations"])),
            Section("Optimizers", _optimizers(result.get("optimizers", []))),
            Section("Best and worst prompts", _prompts(cells)),
            Section("Errors", _errors(cells)),
            _costs(result, where),
            Section("Settings", [Code(json.dumps(suite, indent=2, ensure_ascii=False))]),
        ],
    )


def _transfer(where: Path, settings: dict[str, Any]) -> Page:
    result, cells = _read(where / "transfer.json"), _cells(where)
    return Page(
        "Transfer of prompts",
        f"{len(result['tasks'])} tasks, {len(result['seeds'])} seed(s)",
        [
            Section("Matrix", _matrix(result)),
            Section("Best and worst prompts", _prompts(cells)),
            Section("Errors", _errors(cells)),
            _costs(result, where),
            Section("Settings", [Code(json.dumps(settings, indent=2, ensure_ascii=False))]),
        ],
    )


def _audit(where: Path, settings: dict[str, Any]) -> Page:
    result, cells = _read(where / "audit.json"), _cells(where)
    first, *others = result["checkpoints"]
    sections = []
    for number, other in enumerate(others, start=1):
        rows = [r for r in result["rows"] if r["checkpoint"] == other]
        accuracies = [r for r in rows if r["measure"].startswith("accuracy")]
        seeds = any(len(r["by_seed"]) > 1 for r in rows)
        columns = ["measure", "before", "after", "difference", "95 % interval"]
        table = Table(
            [*columns, "each training seed"] if seeds else columns,
            [
                [
                    r["measure"],
                    f"{_figure(r['before'])} ± {_figure(r['before_error'])}",
                    f"{_figure(r['after'])} ± {_figure(r['after_error'])}",
                    _signed(r["difference"]),
                    _range(r),
                    *([", ".join(map(_signed, r["by_seed"]))] if seeds else []),
                ]
                for r in rows
            ],
            (1, 2, 3, 4),
        )
        plot = _plot(
            f"accuracy-{number}",
            lambda shown=accuracies: plots.intervals(  # type: ignore[misc]
                [(r["measure"], r["difference"], r["low"], r["high"]) for r in shown],
                "after - before, with 95 % interval",
            ),
            "Differences in accuracy; blue where the interval does not hold 0.",
        )
        sections.append(Section(f"{first} → {other}", [*plot, table]))
    texts = [c for c in cells if c.get("cell") == "generation"]
    samples = [
        [c["model"], kind, g["text"] or "(empty)"]
        for c in texts
        for kind, made in c["texts"].items()
        for g in made[:4]
    ]
    return Page(
        "Before and after",
        f"{len(others) + 1} checkpoints; ± is a bootstrap standard error",
        [
            *sections,
            Section("Notes", [Paragraph(note) for note in result["notes"]]),
            Section("Samples", [Table(["checkpoint", "kind", "text"], samples)] if samples else []),
            Section("Best and worst prompts", _prompts(cells)),
            Section("Errors", _errors(cells)),
            _costs(result, where),
            Section("Settings", [Code(json.dumps(settings, indent=2, ensure_ascii=False))]),
        ],
    )


def _infill(where: Path, settings: dict[str, Any]) -> Page:
    from promptinfill.infilling.result import Result

    result = Result.load(where)
    scores = [
        [name, f"{found.score:.3f}", f"{found.low:.3f} to {found.high:.3f}", str(found.n)]
        for name, found in (("infilled", result.test), ("manual", result.manual))
        if found is not None
    ]
    ranked = result.candidates
    shown = ranked if len(ranked) <= 2 * _SHOWN else [*ranked[:_SHOWN], *ranked[-_SHOWN:]]
    candidates = Table(
        ["rank", "in the hole", "validation", "rows", "tokens", "drawn"],
        [
            [
                str(ranked.index(c) + 1),
                " │ ".join(c.fillings),
                f"{c.score:.3f}",
                str(len(c.scores)),
                str(c.tokens),
                str(c.drawn),
            ]
            for c in shown
        ],
        (0, 2, 3, 4, 5),
    )
    dropped = ", ".join(f"{n} {why}" for why, n in result.dropped.items()) or "none"
    cost = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in result.cost.items())
    spread = _plot(
        "candidates",
        lambda: plots.points(
            {"candidate": [(c.tokens, c.score) for c in ranked]}, "prompt tokens", "validation"
        ),
        "Every candidate: length against the score on the validation rows it met.",
    )
    return Page(
        "An infilled prompt",
        f"{settings['model']}, answered by {settings['target']}",
        [
            Section("Chosen prompt", [Code(result.prompt)]),
            Section(
                "Test", [Table(["prompt", "score", "95 % interval", "rows"], scores, (1, 2, 3))]
            ),
            Section(
                "Best and worst candidates",
                [candidates, *spread, Paragraph(f"Dropped draws: {dropped}.")],
            ),
            Section("Errors", _errors(_infill_cells(where, settings, result.prompt))),
            Section("Cost", [Paragraph(cost)]),
            Section("Settings", [Code(json.dumps(settings, indent=2, ensure_ascii=False))]),
        ],
    )


def _infill_cells(where: Path, settings: dict[str, Any], prompt: str) -> list[dict[str, Any]]:
    """The test answers of an infilling, put back into the order of the rows."""
    from promptinfill.errors import TaskError
    from promptinfill.evaluation.scoring import score_answer
    from promptinfill.tasks.metrics import exact_match, get_metric
    from promptinfill.templates import Template

    try:
        metric = get_metric(settings["metric"])
    except TaskError:  # a metric of the user's own: strict equality tells failures well enough
        metric = exact_match
    rows, response = settings["test"], settings["response"]
    template = Template(prompt, response)
    prompts = [template.prompt(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: -len(prompts[i]))
    units = []
    for entry in _lines(where / "work.jsonl"):
        stage, _, rest = entry["unit"].partition("/")
        if stage == "test":
            units.append((int(rest.partition("/")[0]), entry["value"]["answers"]))
    answers = [answer for _, chunk in sorted(units) for answer in chunk]
    if len(answers) != len(rows):
        return []
    ranked = [rows[i] for i in order]
    return [
        {
            "cell": "test",
            "target": settings["target"],
            "task": "test rows",
            "prompt": prompt,
            "answers": answers,
            "scores": [
                score_answer(metric, a, r, response) for a, r in zip(answers, ranked, strict=True)
            ],
            "rows": [
                {
                    "input": "\n".join(
                        v for k, v in r.items() if k not in (response, "references")
                    ),
                    "reference": r[response],
                }
                for r in ranked
            ],
        }
    ]


def _training(where: Path) -> Page:
    logs = _lines(where / "log.jsonl")
    keys = ("loss", "eval_loss", "eval_prompt_loss", "eval_response_loss")
    series = {
        key: [(e["step"], e[key]) for e in logs if isinstance(e.get(key), int | float)]
        for key in keys
    }
    series = {key: values for key, values in series.items() if values}
    result = where / "result.json"
    recipe = next((p for p in (where / "recipe.yaml", where / "recipe.json") if p.is_file()), None)
    columns = sorted({k for e in logs for k in e if k.startswith("eval_")})
    table = Table(
        ["step", *columns],
        [
            [str(e["step"]), *(_figure(e[k]) if k in e else "" for k in columns)]
            for e in logs
            if any(k in e for k in columns)
        ],
        range(len(columns) + 1),
    )
    return Page(
        "A training run",
        f"{where.name}: {'finished' if result.is_file() else 'not finished'}",
        [
            Section(
                "Loss",
                _plot("loss", lambda: plots.lines(series, "step", "nats"), "Loss by step.")
                if series
                else [],
            ),
            Section("Validation", [table] if columns else []),
            Section("Result", [Code(result.read_text())] if result.is_file() else []),
            Section("Recipe", [Code(recipe.read_text())] if recipe else []),
        ],
    )


# -- pieces ----------------------------------------------------------------------------------------


def _by_task(models: Sequence[dict[str, Any]]) -> Table:
    tasks = [t["task"] for t in models[0]["tasks"]]
    rows = []
    for i, task in enumerate(tasks):
        cells = [f"{m['tasks'][i]['manual']:.2f} / {m['tasks'][i]['infilled']:.2f}" for m in models]
        rows.append([task, *cells])
    rows.append(["mean", *(f"{m['manual']:.3f} / {m['infilled']:.3f}" for m in models)])
    columns = ["manual / infilled", *(m["model"] for m in models)]
    return Table(columns, rows, range(1, len(columns)))


def _matrix(result: dict[str, Any]) -> list[Block]:
    sources, targets = result["sources"], result["targets"]
    cell = {(c["source"], c["target"]): c for c in result["cells"]}
    values = [[cell[s, t]["score"] for t in targets] for s in sources]
    by_hand = {m["target"]: m for m in result["manual"]}
    rows = [[s, *(_with_interval(cell[s, t]) for t in targets)] for s in sources]
    rows.append(["manual", *(_with_interval(by_hand[t]) for t in targets)])
    gaps = [
        [s, *(_with_interval(cell[s, t]["minus_manual"], sign=True) for t in targets)]
        for s in sources
    ]
    numeric = range(1, len(targets) + 1)
    heat = _plot(
        "transfer",
        lambda: plots.heat_map(
            [*sources, "manual"],
            targets,
            [*values, [by_hand[t]["score"] for t in targets]],
            "test accuracy",
        ),
        "Mean accuracy of prompts filled by one model (rows) and used on another (columns).",
    )
    return [
        *heat,
        Table(["filled by \\ used on", *targets], rows, numeric),
        Paragraph("The same less the manual prompt on the same target:"),
        Table(["filled by \\ used on", *targets], gaps, numeric),
    ]


def _lengths(models: Sequence[dict[str, Any]]) -> list[Block]:
    rows = []
    for m in models:
        found = [t for t in m["tasks"] if t["tokens"] is not None]
        if found:
            own = sum(t["tokens"] for t in found) / len(found)
            manual = sum(t["manual_tokens"] for t in found) / len(found)
            accuracy = sum(t["infilled"] for t in found) / len(found)
            rows.append([m["model"], f"{own:.1f}", f"{manual:.1f}", f"{accuracy:.3f}"])
    series = {
        m["model"]: [(t["tokens"], t["infilled"]) for t in m["tasks"] if t["tokens"] is not None]
        for m in models
    }
    columns = ["model", "infilled, tokens", "manual, tokens", "infilled, accuracy"]
    return [
        Table(columns, rows, (1, 2, 3)),
        *_plot(
            "lengths",
            lambda: plots.points(series, "prompt tokens", "test accuracy"),
            "Infilled prompts: a point is a task.",
        ),
    ]


def _ablations(groups: Sequence[dict[str, Any]]) -> list[Block]:
    out: list[Block] = []
    for number, group in enumerate(groups):
        rows = group["rows"]
        table = [
            [
                r["variant"],
                f"{r['figure']:.3f}",
                _signed(r["difference"]),
                _range(r),
                f"{r['p_holm']:.3f}",
            ]
            for r in rows
        ]
        out.append(
            Paragraph(f"{group['name']}: baseline {group['baseline']} at {group['figure']:.3f}.")
        )
        out += _plot(
            f"ablation-{number}",
            lambda shown=rows: plots.intervals(  # type: ignore[misc]
                [(r["variant"], r["difference"], r["low"], r["high"]) for r in shown],
                "variant - baseline",
            ),
            f"{group['name']}: each variant against the baseline.",
        )
        columns = ["variant", "accuracy", "difference", "95 % interval", "p (Holm)"]
        out.append(Table(columns, table, (1, 2, 3, 4)))
    return out


def _optimizers(rows: Sequence[dict[str, Any]]) -> list[Block]:
    if not rows:
        return []
    table = [
        [
            r["alone"],
            r["combined"],
            f"{r['alone_figure']:.3f}",
            f"{r['figure']:.3f}",
            _signed(r["difference"]),
            _range(r),
            f"{r['p_holm']:.3f}",
        ]
        for r in rows
    ]
    columns = [
        "optimizer",
        "with infilling",
        "alone",
        "combined",
        "difference",
        "95 % interval",
        "p (Holm)",
    ]
    return [Table(columns, table, (2, 3, 4, 5, 6))]


def _prompts(cells: Iterable[dict[str, Any]]) -> list[Block]:
    tests = [c for c in cells if c.get("cell") == "test"]
    scored = sorted(tests, key=lambda c: (-_mean(c["scores"]), c["task"], c["target"], c["prompt"]))
    if not scored:
        return []
    chosen = scored if len(scored) <= 2 * _SHOWN else [*scored[:_SHOWN], *scored[-_SHOWN:]]
    rows = [
        [
            c["prompt"].partition("\n{")[0].partition("\nInput:")[0],
            c["task"],
            c["target"],
            f"{_mean(c['scores']):.2f}",
        ]
        for c in chosen
    ]
    return [Table(["prompt", "task", "used on", "test"], rows, (3,))]


def _errors(cells: Iterable[dict[str, Any]]) -> list[Block]:
    """Failing test rows, grouped by kind, with an example or two of each."""
    groups: dict[str, list[list[str]]] = defaultdict(list)
    total = 0
    for c in cells:
        if c.get("cell") != "test":
            continue
        for row, answer, score in zip(c["rows"], c["answers"], c["scores"], strict=True):
            total += 1
            if score < 1:
                kind = failure_kind(answer, row["reference"], row["input"])
                groups[kind].append(
                    [c["task"], c["target"], row["input"], answer, row["reference"]]
                )
    failed = sum(map(len, groups.values()))
    if not total:
        return []
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    share = [[k, str(len(v)), f"{len(v) / failed:.0%}"] for k, v in ranked]
    examples = [
        [kind, *(_short(cell) for cell in found[i])]
        for kind, found in ranked
        for i in dict.fromkeys((0, len(found) // 2))
    ]
    columns = ["kind", "task", "used on", "input", "answer", "right answer"]
    return [
        Paragraph(f"{failed:,} of {total:,} test answers are not fully right."),
        Table(["kind of failure", "answers", "share"], share, (1, 2)),
        Table(columns, examples),
    ]


def _costs(result: dict[str, Any], where: Path) -> Section:
    timing = where / "timing.json"
    seconds = _read(timing)["seconds"] if timing.is_file() else 0
    touches, cost = result["test_touches"], result["cost"]
    text = (
        f"{cost['model_calls']:,} rows through models, {cost['tokens']:,} tokens; the last process "
        f"took {seconds:,} s. Test rows: {touches['prompts_tested']:,} prompts met "
        f"{touches['test_sets']:,} test sets, each once ({touches['answers']:,} answers)."
    )
    return Section("Cost and test touches", [Paragraph(text)])


def _plot(name: str, draw: Callable[[], bytes], caption: str) -> list[Block]:
    return [Picture(name, draw(), caption)] if plots.can_plot() else []


# -- reading and writing figures -------------------------------------------------------------------


def _cells(where: Path) -> list[dict[str, Any]]:
    return [entry["value"] for entry in _lines(where / "work.jsonl")]


def _lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise DataError(f"{path}: broken JSON lines; is the run still going on?") from None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(
            f"{path} is not there: no run, or an unfinished one; "
            "run its command again to the end first"
        )
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise DataError(f"{path}: not valid JSON") from None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def _signed(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:+.3f}" if abs(value) < 1000 else f"{value:+,.0f}"


def _range(row: dict[str, Any]) -> str:
    return "" if row["low"] is None else f"{_signed(row['low'])} to {_signed(row['high'])}"


def _with_interval(found: dict[str, Any], *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{found['score']:{plus}.2f} ({found['low']:{plus}.2f} to {found['high']:{plus}.2f})"


def _short(text: str, limit: int = 90) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
