"""Infill prompts for many tasks with one checkpoint, and test them beside hand-written ones.

    python benchmarks/infill_tasks.py --model embedded:best --tasks all --out runs/best.jsonl

One JSON line a task: the infilled prompt and its test accuracy, the manual instruction's (a
wording seen in training), and accuracies of wordings never seen in training. Finished tasks are
not run again.
"""

import argparse
import dataclasses
import json
import random
from pathlib import Path

import torch

from promptinfill import MaskedDiffusionLM, Template, infill
from promptinfill.evaluation.scoring import answer_room, prompt_accuracy
from promptinfill.files import append_json_line
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks import Splits, get_task, task_names

SAMPLE = [
    "first_letter",
    "last_letter",
    "second_letter",
    "letters_list",
    "reverse_word",
    "upper_case",
    "remove_vowels",
    "word_length",
    "first_item",
    "last_item",
    "reverse_list",
    "sort_list",
    "count_items",
    "longest_word",
    "join_and",
    "sum",
    "difference",
    "larger_number",
    "number_to_words",
    "even_or_odd",
    "sort_ascending",
    "plural",
    "past_tense",
    "ing_form",
    "comparative",
    "antonym",
    "active_to_passive",
    "negation",
    "words_with_letter",
    "first_word",
    "larger_animal",
    "find_animals",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", default="sample", help="all, sample, real, or names with commas")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--options", default="{}", help="JSON of InfillOptions")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th task, from the i-th")
    parser.add_argument("--no-infill", action="store_true", help="manual prompts only")
    args = parser.parse_args()
    index, of = map(int, args.shard.split("/"))
    names = {
        "all": [n for n in task_names() if "/" not in n],
        "sample": SAMPLE,
        "real": [n for n in task_names() if "/" in n],
    }.get(args.tasks, args.tasks.split(","))[index::of]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if args.out.is_file():
        done = {json.loads(line)["task"] for line in args.out.read_text().splitlines()}
    dlm = MaskedDiffusionLM.from_pretrained(args.model)
    target = DiffusionTarget(dlm, batch_size=args.batch)
    options = InfillOptions(**{"batch_size": args.batch} | json.loads(args.options))
    for name in names:
        if name not in done:
            append_json_line(
                args.out, {"model": args.model} | run(name, dlm, target, options, args)
            )


def run(name, dlm, target, options, args) -> dict:
    task = get_task(name, Splits(examples=20, validation=24, test=args.test, seed=args.seed))
    room = answer_room(target, task.response, [*task.examples, *task.validation])

    def accuracy(prompt: str) -> float:
        return prompt_accuracy(
            Template(prompt, task.response),
            task.response,
            task.test,
            target=target,
            metric=task.metric,
            max_tokens=room,
        )

    entry = {
        "task": name,
        "test_rows": len(task.test),
        "manual": accuracy(task.manual[0]),
        "other_wordings": [accuracy(prompt) for prompt in task.manual[1:4]],
    }
    if not args.no_infill:
        torch.manual_seed(args.seed)
        random.seed(args.seed)
        result = infill(
            Template(task.template, task.response),
            task.examples,
            dlm=dlm,
            target=target,
            validation=task.validation,
            test=task.test,
            metric=task.metric,
            candidates=args.candidates,
            seed=args.seed,
            options=options,
            max_answer_tokens=room,
        )
        entry |= {
            "infilled": dataclasses.asdict(result.test),
            "prompt": result.best.fillings,
            "validation": result.best.score,
            "tokens": result.best.tokens,
            "manual_tokens": target.count_tokens(
                Template(task.manual[0], task.response).prompt({"input": "", "output": ""})
            ),
            "top": [
                [c.fillings[0], round(c.score, 3), len(c.scores)] for c in result.candidates[:6]
            ],
            "dropped": result.dropped,
            "cost": result.cost,
        }
    return entry


if __name__ == "__main__":
    main()
