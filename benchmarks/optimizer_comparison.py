"""Prompt optimizers at one budget of metric calls, beside infilling and in combination with it.

    python benchmarks/optimizer_comparison.py --out runs/optimizers.jsonl          # measure
    python benchmarks/optimizer_comparison.py --out runs/optimizers.jsonl --report # tables

One JSON line for each (method, task, seed); finished ones are not run again. The test rows are
outside the budget and no method sees them.
"""

import argparse
import json
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import torch

from promptinfill import MaskedDiffusionLM
from promptinfill.evaluation.statistics import bootstrap_mean
from promptinfill.files import append_json_line
from promptinfill.optimizers.methods import METHODS, optimize_prompt
from promptinfill.tasks import Splits, get_task

GENERATOR = "first_letter,plural,past_tense,larger_number"
REAL = "sum,first_word_letter"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="embedded:best", help="fills, proposes and answers")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument(
        "--tasks",
        default=",".join(
            [GENERATOR, *(f"instruction_induction/{name}" for name in REAL.split(","))]
        ),
    )
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--budget", type=int, default=160, help="metric calls")
    parser.add_argument("--validation", type=int, default=16)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print tables of what is there")
    args = parser.parse_args()
    if args.report:
        report(args.out)
        return
    torch.set_num_threads(args.threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = {(e["method"], e["task"], e["seed"]) for e in read(args.out)}
    dlm = MaskedDiffusionLM.from_pretrained(args.model)
    for seed in map(int, args.seeds.split(",")):
        for name in args.tasks.split(","):
            task = get_task(
                name, Splits(examples=16, validation=args.validation, test=args.test, seed=seed)
            )
            for method in args.methods.split(","):
                if (method, name, seed) in done:
                    continue
                found = optimize_prompt(
                    method, task, dlm=dlm, budget=args.budget, seed=seed, test=True
                )
                entry = {"task": name, "seed": seed, "fingerprint": dlm.fingerprint}
                append_json_line(args.out, entry | asdict(found))


def read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(path: Path) -> None:
    entries = read(path)
    seeds = {e["seed"] for e in entries}
    found = Counter(e["task"] for e in entries)
    partial = [task for task, count in found.items() if count < len(METHODS) * len(seeds)]
    entries = [e for e in entries if e["task"] not in partial]
    if partial:
        print(f"Left out, not finished in every seed: {', '.join(partial)}")
    for title, wanted in (("Generator's tasks", False), ("Instruction induction", True)):
        chosen = [e for e in entries if ("/" in e["task"]) == wanted]
        if chosen:
            tasks = sorted({e["task"] for e in chosen})
            print(f"\n### {title}: {', '.join(tasks)}; {len(seeds)} seeds\n")
            table(chosen)


def table(entries: list[dict]) -> None:
    by_method: dict[str, dict[tuple, dict]] = defaultdict(dict)
    for e in entries:
        by_method[e["method"]][e["task"], e["seed"]] = e
    print(
        "| method | test accuracy (95 %) | against infill | prompt tokens | metric calls | ", end=""
    )
    print("answering: calls, tokens | proposing: calls, tokens |\n|---|---|---|---|---|---|---|")
    for method in sorted(by_method, key=list(METHODS).index):
        runs = by_method[method]
        scores = bootstrap_mean([e["test"]["score"] for e in runs.values()])
        pairs = [
            e["test"]["score"] - by_method["infill"][key]["test"]["score"]
            for key, e in runs.items()
            if key in by_method["infill"]
        ]
        gap = bootstrap_mean(pairs) if pairs and method != "infill" else None
        versus = f"{gap.score:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})" if gap else ""
        mean = {
            name: sum(value(e) for e in runs.values()) / len(runs)
            for name, value in {
                "tokens": lambda e: e["tokens"],
                "calls": lambda e: e["metric_calls"],
                "target": lambda e: e["target_cost"]["model_calls"],
                "target_tokens": lambda e: e["target_cost"]["tokens"],
                "proposer": lambda e: e["proposer_cost"]["model_calls"],
                "proposer_tokens": lambda e: e["proposer_cost"]["tokens"],
            }.items()
        }
        print(
            f"| {method} | {scores.score:.3f} ({scores.low:.3f} to {scores.high:.3f}) | {versus} | "
            f"{mean['tokens']:.1f} | {mean['calls']:.0f} | "
            f"{mean['target']:.0f}, {mean['target_tokens']:,.0f} | "
            f"{mean['proposer']:.0f}, {mean['proposer_tokens']:,.0f} |"
        )


if __name__ == "__main__":
    main()
