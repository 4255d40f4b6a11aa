"""docs/benchmarks.md from measured values."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

AIMS = {
    "infill_30k": "2x faster, half the memory, the same tokens",
    "infill_126k": "5x faster, a quarter of the memory, the same tokens",
    "infill_cached": "6x faster, 0.95 of tokens equal, accuracy within 0.01",
    "infill_threshold": "3x fewer forwards, accuracy within 0.01",
    "sft_step": "2x tokens/s, half the memory, the same loss to 1e-5",
    "selection_racing": "a third of the calls, same or equal winner in 0.95 of races",
    "mfu": "0.6 (SFT step), 0.5 (infilling)",
}


def write(path: Path, found: Sequence[dict[str, Any]], tables: Mapping[str, Any]) -> None:
    """Write the document in one go, so that a failed run leaves the old one."""
    from promptinfill.files import write_text

    notes = Path(__file__).with_name("notes.md").read_text(encoding="utf-8")
    parts = [
        "# Benchmarks",
        "Written by `make bench` (`python benchmarks/run.py --write docs/benchmarks.md`); one "
        "comparison alone: `python benchmarks/run.py --only NAME --json`. Ratios are baseline over "
        "ours, so larger is better; times are medians, memory is the peak of a fresh process, "
        "interpreter and weights included.",
        machine(),
        "| comparison | aim | time ratio | memory ratio | equal | besides |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(_summary(values) for values in found),
        notes.strip(),
        *(_details(values) for values in found),
        "## How cost grows",
        *(f"### {title}\n\n{_table(rows)}" for title, rows in tables.items()),
    ]
    write_text(path, "\n\n".join(parts) + "\n")


def machine() -> str:
    """What the figures were measured on, and how busy it was."""
    import torch
    import transformers

    load = " / ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Measured with torch {torch.__version__}, transformers {transformers.__version__}, Python "
        f"{platform.python_version()}, {torch.get_num_threads()} threads, {platform.machine()} "
        f"({torch.backends.cpu.get_cpu_capability()}); load averages at the end {load}. Sides are "
        "run in turn in one process, so that a busy moment meets both."
    )


def _summary(values: dict[str, Any]) -> str:
    name = values["name"]
    if name == "mfu":
        besides = f"SFT step {values['sft']}, infilling {values['infill']}"
        return f"| {name} | {AIMS[name]} | | | | {besides} |"
    besides = {
        "infill_cached": ("tokens_equal", "accuracy_difference"),
        "infill_threshold": (
            "forwards_ratio",
            "answering_ratio",
            "drawing_ratio",
            "accuracy_difference",
        ),
        "sft_step": ("loss_difference", "bf16_ratio"),
        "selection_racing": ("calls_share", "same_winner", "same_or_equal_winner"),
    }.get(name, ())
    told = ", ".join(f"{key.replace('_', ' ')} {_number(values[key])}" for key in besides)
    return (
        f"| {name} | {AIMS[name]} | {_number(values['time_ratio'])} | "
        f"{_number(values['memory_ratio'])} | {'yes' if values['equal'] else 'no'} | {told} |"
    )


def _details(values: dict[str, Any]) -> str:
    lines = [f"## {values['name']}", values["workload"].capitalize() + "."]
    if "equal_means" in values:
        lines.append(f"Equal: {values['equal_means']}.")
        sides = {side: values[side] for side in ("baseline", "ours")}
        keys = [k for k, v in sides["ours"].items() if not isinstance(v, dict)]
        rows = [
            {"side": side} | {key.replace("_", " "): _number(of.get(key)) for key in keys}
            for side, of in sides.items()
        ]
        lines.append(_table(rows))
    else:
        lines.append(
            f"A 2048^3 float32 product reaches {values['matmul_gflops']} Gflop/s; the SFT step "
            f"{values['sft_gflops']}, infilling {values['infill_gflops']}."
        )
    return "\n\n".join(lines)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_number(row.get(key, "")) for key in keys) + " |" for row in rows]
    return "\n".join(lines)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.4g}"
    if isinstance(value, list):
        return " to ".join(_number(item) for item in value)
    return str(value)
