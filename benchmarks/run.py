"""Side-by-side measurements of speed and memory.

    python benchmarks/run.py --list
    python benchmarks/run.py --only infill_30k --json
    python benchmarks/run.py --results runs/bench.jsonl --write docs/benchmarks.md   (`make bench`)

Every ratio is baseline over ours: larger is better. Baselines are in ``baselines.py``.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptinfill.files import append_json_line


def comparisons() -> dict[str, Callable[[], Any]]:
    """Every comparison by name, in the order of the report."""
    from comparisons import (
        infill_cached,
        infill_lossless,
        infill_threshold,
        mfu,
        selection_racing,
        sft_step,
    )

    return {
        "infill_30k": infill_lossless.infill_30k,
        "infill_126k": infill_lossless.infill_126k,
        "infill_cached": infill_cached.infill_cached,
        "infill_threshold": infill_threshold.infill_threshold,
        "sft_step": sft_step.sft_step,
        "selection_racing": selection_racing.selection_racing,
        "mfu": mfu.mfu,
    }


def quiet() -> None:
    """No progress bars of other libraries: standard error stays readable."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def read_results(path: Path | None) -> dict[str, Any]:
    """Finished comparisons by name."""
    if path is None or not path.is_file():
        return {}
    values = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {value["name"]: value for value in values}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the comparisons and leave")
    parser.add_argument("--only", metavar="NAME", help="run this comparison alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object a comparison")
    parser.add_argument(
        "--results",
        metavar="FILE.jsonl",
        type=Path,
        help="append finished comparisons here, and take those that are there already from it",
    )
    parser.add_argument(
        "--write", metavar="FILE", type=Path, help="write the report, scaling tables included"
    )
    args = parser.parse_args()
    quiet()
    known = comparisons()
    if args.list:
        print("\n".join(known))
        return
    if args.only is not None and args.only not in known:
        print(
            f"unknown comparison {args.only!r}: choose one of {', '.join(known)}", file=sys.stderr
        )
        sys.exit(2)
    finished = read_results(args.results)
    found = []
    for name in [args.only] if args.only else known:
        if name not in finished:
            finished[name] = known[name]().to_json() | {"load": round(os.getloadavg()[0], 1)}
            if args.results is not None:
                append_json_line(args.results, finished[name])
        found.append(finished[name])
        print(json.dumps(found[-1], indent=None if args.json else 2), flush=True)
    if args.write is not None:
        import report
        from comparisons import scaling

        report.write(args.write, found, scaling.tables())


if __name__ == "__main__":
    main()
