"""One run with a folder; as a script, runs that kill themselves after a number of units.

    killed_run.py MODEL FOLDER 1 2 5

prints how each of them ended, as a JSON list. Each is a fork of its own, so that the libraries are
imported once.
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

from scenario import EXAMPLES, MANUAL, TEMPLATE, TEST, VALIDATION, Scripted  # noqa: E402

from promptinfill.infilling.candidates import InfillOptions  # noqa: E402
from promptinfill.infilling.infill import infill  # noqa: E402
from promptinfill.infilling.result import Result  # noqa: E402
from promptinfill.infilling.selection import SelectionOptions  # noqa: E402
from promptinfill.models.base import MaskedDiffusionLM  # noqa: E402


def job(dlm: MaskedDiffusionLM, folder: Path, **changes: Any) -> Result:
    arguments: dict[str, Any] = {
        "validation": VALIDATION,
        "target": Scripted(),
        "candidates": 6,
        "seed": 7,
        "test": TEST,
        "manual": MANUAL,
        "options": InfillOptions(temperatures=(1.0, 2.0), examples=2, batch_size=2),
        "selection": SelectionOptions(first_rows=2),
    }
    return infill(TEMPLATE, EXAMPLES, dlm=dlm, folder=folder, **(arguments | changes))


def run_and_die(dlm: MaskedDiffusionLM, folder: Path, after: int) -> None:
    finished = []

    def count(progress: Any) -> None:
        finished.append(progress)
        if len(finished) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    job(dlm, folder, on_progress=count)


def main(model: str, root: str, *stops: str) -> None:
    import torch

    torch.set_num_threads(1)
    dlm = MaskedDiffusionLM.from_pretrained(model, device="cpu")
    ended = []
    for stop in stops:
        child = os.fork()
        if child == 0:
            try:
                run_and_die(dlm, Path(root) / stop, int(stop))
            finally:
                os._exit(3)  # it should not have come to this
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ended))


if __name__ == "__main__":
    main(*sys.argv[1:])
