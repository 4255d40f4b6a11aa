"""A suite of seconds over tiny random models; as a script, runs that kill themselves.

    suite.py MODEL_A MODEL_B ROOT 1 3 5

runs the suite in ROOT/1, ROOT/3, ... and dies after so many cells; prints how each ended.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]

from helpers import tiny_dlm, word_tokenizer  # noqa: E402
from promptinfill.evaluation.reproduce import Suite, reproduce  # noqa: E402


def save_model(folder: Path, seed: int) -> str:
    """A random model; only whole words come out, so that fillings are usable."""
    tokenizer = word_tokenizer()
    specials = set(tokenizer.all_special_tokens)
    others = tuple(
        t
        for t in tokenizer.get_vocab()
        if t not in specials and not (t.startswith("Ġ") and t[1:].isalpha())
    )
    dlm = tiny_dlm(
        "modernbert",
        tokenizer,
        seed=seed,
        conventions={"suppressed_tokens": others},
        max_position_embeddings=512,
    )
    dlm.save_pretrained(folder)
    return str(folder)


def make_suite(a: str, b: str, **changes: Any) -> Suite:
    values: dict[str, Any] = {
        "models": {"a": a, "b": b},
        "roles": {"response_only": "a", "full_sequence": "b", "two_stage": "a", "main": "b"},
        "tasks": ["first_letter", "upper_case"],
        "rows": {"examples": 3, "validation": 2, "test": 3},
        "candidates": 2,
        "wordings": 2,
        "infill": {"examples": 2, "lengths": [0.5]},
        "ablations": {
            "model": "b",
            "tasks": ["first_letter"],
            "variants": {"one example": {"examples": 1}},
        },
    }
    return Suite.model_validate(values | changes)


def run_and_die(suite: Suite, folder: Path, after: int) -> None:
    from promptinfill.infilling import run

    append, done = run.append_json_line, []

    def count(path: Path, value: Any) -> None:
        append(path, value)
        done.append(path)
        if len(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    run.append_json_line = count
    reproduce(suite, folder)


def main(a: str, b: str, root: str, *stops: str) -> None:
    import torch

    torch.set_num_threads(1)
    ended = []
    for stop in stops:
        child = os.fork()
        if child == 0:
            try:
                run_and_die(make_suite(a, b), Path(root) / stop, int(stop))
            finally:
                os._exit(3)  # it should not have come to this
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
