"""Train the embedded models' recipes over several seeds, side by side, and infill with each.

    python benchmarks/embedded_runs.py --out runs/embedded --seeds 0 1 2 --parallel 4
    python benchmarks/embedded_report.py runs/embedded/eval/*.jsonl --tasks

Every run is ``promptinfill train configs/embedded/RECIPE.yaml`` with its own seed, from one start,
so all are at equal compute; finished runs are not run again. A process needs up to 15 GB of GPU
memory at the recipes' batch size in float32.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from promptinfill.training.data import load_source
from promptinfill.training.recipe import load_recipe
from promptinfill.training.train import initial_model

RECIPES = ("response-only", "full-sequence", "two-stage", "mixture")
CONFIGS = Path(__file__).parent.parent / "configs" / "embedded"
CLI = [sys.executable, "-m", "promptinfill"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/embedded"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--parallel", type=int, default=1, help="processes at a time")
    parser.add_argument("--start", help="train from this checkpoint instead of embedded:base")
    parser.add_argument("--set", action="append", default=[], help="passed to promptinfill train")
    parser.add_argument("--tasks", default="sample", help="tasks to infill afterwards, or none")
    args = parser.parse_args()
    overrides = [f"--set={text}" for text in args.set]
    if args.start:
        overrides.append(f"--set=model.start={args.start}")
    (args.out / "eval").mkdir(parents=True, exist_ok=True)

    runs = [(recipe, seed) for seed in args.seeds for recipe in args.recipes]
    trainings = {}
    for recipe, seed in runs:
        folder = args.out / f"{recipe}-seed{seed}"
        config = str(CONFIGS / f"{recipe}.yaml")
        where = ["--out", str(folder), "--cache", str(args.out / "cache")]
        trainings[folder] = [*CLI, "train", config, *where, f"--set=seed={seed}", *overrides]
    prepare_data(CONFIGS / f"{args.recipes[0]}.yaml", overrides, args.out / "cache")
    run_all(trainings, args.parallel)
    if args.tasks == "none":
        return
    script = str(Path(__file__).with_name("infill_tasks.py"))
    evaluations = {}
    for recipe, seed in runs:
        name = f"{recipe}-seed{seed}"
        given = ["--model", str(args.out / name / "model"), "--tasks", args.tasks]
        out = args.out / "eval" / f"{name}.jsonl"
        evaluations[out.with_suffix("")] = [sys.executable, script, *given, "--out", str(out)]
    run_all(evaluations, args.parallel)


def prepare_data(config: Path, overrides: list[str], cache: Path) -> None:
    """Generate the data once, into the cache that all runs share."""
    recipe = load_recipe(config, tuple(text.removeprefix("--set=") for text in overrides))
    dlm = initial_model(recipe.model, seed=recipe.seed)
    for source in (recipe.data.train, recipe.data.validation):
        load_source(dlm, source, recipe.data, cache=cache)


def run_all(commands: dict[Path, list[str]], parallel: int) -> None:
    """Run the commands, so many at a time, each with a log; stop at the first that fails."""
    waiting = list(commands.items())
    running: dict[Path, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < parallel:
            name, command = waiting.pop(0)
            print("start", name, flush=True)
            with name.with_name(name.name + ".log").open("ab") as log:
                running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            print("done " if process.returncode == 0 else "FAILED", name, flush=True)
            if process.returncode != 0:
                for other in running.values():
                    other.terminate()
                sys.exit(f"{name} failed; see {name}.log. Run the same command again to continue.")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
