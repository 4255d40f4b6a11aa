"""Summarise the lines of ``infill_tasks.py`` as Markdown tables.

    python benchmarks/embedded_report.py runs/embedded/*.jsonl

A file is one recipe (its name is the file's, up to a "-seedN" ending, which is averaged over).
Intervals are 95 % percentile bootstraps over tasks (scipy), paired where two columns are compared.
"""

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from promptinfill.evaluation.statistics import bootstrap_mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--tasks", action="store_true", help="one line a task as well")
    args = parser.parse_args()
    recipes: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for path in args.files:
        recipe = re.sub(r"-seed\d+$", "", path.stem)
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            recipes[recipe][entry["task"]].append(entry)
    common = set.intersection(*(set(tasks) for tasks in recipes.values()))
    print(f"{len(common)} tasks in every file\n")
    print("| recipe | manual | other wordings | infilled | infilled - manual | tokens |")
    print("|---|---|---|---|---|---|")
    for recipe, tasks in recipes.items():
        rows = [tasks[name] for name in sorted(common)]
        manual = [fmean(e["manual"] for e in runs) for runs in rows]
        other = [fmean(fmean(e["other_wordings"]) for e in runs) for runs in rows]
        infilled = [fmean(e["infilled"]["score"] for e in runs) for runs in rows]
        gain = [a - b for a, b in zip(infilled, manual, strict=True)]
        tokens = fmean(fmean(e["tokens"] for e in runs) for runs in rows)
        by_hand = fmean(fmean(e["manual_tokens"] for e in runs) for runs in rows)
        cells = [_cell(manual), _cell(other), _cell(infilled), _cell(gain, sign=True)]
        print(f"| {recipe} | {' | '.join(cells)} | {tokens:.1f} ({by_hand:.1f} by hand) |")
    if args.tasks:
        print("\n| task | " + " | ".join(f"{r}: manual / infilled" for r in recipes) + " |")
        print("|---" * (len(recipes) + 1) + "|")
        for name in sorted(common):
            cells = []
            for tasks in recipes.values():
                manual = fmean(e["manual"] for e in tasks[name])
                infilled = fmean(e["infilled"]["score"] for e in tasks[name])
                cells.append(f"{manual:.2f} / {infilled:.2f}")
            print(f"| {name} | {' | '.join(cells)} |")


def _cell(values: list[float], *, sign: bool = False) -> str:
    found = bootstrap_mean(values)
    plus = "+" if sign else ""
    return f"{found.score:{plus}.3f} ({found.low:{plus}.3f} to {found.high:{plus}.3f})"


if __name__ == "__main__":
    main()
