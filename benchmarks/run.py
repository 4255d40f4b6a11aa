"""Side-by-side measurements of speed and memory.

    python benchmarks/run.py --list
    python benchmarks/run.py --only infill_30k --json
    python benchmarks/run.py --write docs/benchmarks.md     (`make bench`)

Every ratio is baseline over ours: larger is better. Baselines are in ``baselines.py``.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any


def comparisons() -> dict[str, Callable[[], Any]]:
    """Every comparison by name, in the order of the report."""
    from comparisons import infill_lossless, infill_threshold, mfu, selection_racing, sft_step

    return {
        "infill_30k": infill_lossless.infill_30k,
        "infill_126k": infill_lossless.infill_126k,
        "infill_threshold": infill_threshold.infill_threshold,
        "sft_step": sft_step.sft_step,
        "selection_racing": selection_racing.selection_racing,
        "mfu": mfu.mfu,
    }


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the comparisons and leave")
    parser.add_argument("--only", metavar="NAME", help="run this comparison alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object a comparison")
    args = parser.parse_args()
    known = comparisons()
    if args.list:
        print("\n".join(known))
        return
    if args.only is not None and args.only not in known:
        print(
            f"unknown comparison {args.only!r}: choose one of {', '.join(known)}", file=sys.stderr
        )
        sys.exit(2)
    for name in [args.only] if args.only else known:
        values = known[name]().to_json()
        print(json.dumps(values) if args.json else json.dumps(values, indent=2), flush=True)


if __name__ == "__main__":
    main()
