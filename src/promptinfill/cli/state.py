"""What one run of the command line shares: consoles, --debug, the run folder, quiet libraries."""

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from promptinfill.errors import PromptInfillError


def _console(stream: Any) -> Console:
    return Console(file=stream, highlight=False, emoji=False)


@dataclass
class State:
    """The state of one run.

    Attributes:
        out, err: results go to ``out``, progress and errors to ``err``.
        debug: show tracebacks.
        folder: run folder, once the command has one: finished work is kept there.
        advice: what an interrupted command that keeps nothing has to say.
    """

    out: Console = field(default_factory=lambda: _console(sys.stdout))
    err: Console = field(default_factory=lambda: _console(sys.stderr))
    debug: bool = False
    folder: Path | None = None
    advice: str = ""

    def print_json(self, value: Any) -> None:
        """The one JSON object of ``--json``, on one line, as plain text."""
        self.out.file.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.out.file.flush()

    def use_folder(self, folder: Path | None) -> None:
        """Make the run folder of ``--out``; PromptInfillError when that cannot be."""
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PromptInfillError(
                f"cannot use {folder} as a run folder: {error.strerror}; choose another --out"
            ) from None
        self.folder = folder

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """A spinner on a terminal, while something without stages goes on."""
        if not self.err.is_terminal:
            yield
            return
        with self.err.status(f"[dim]{what}[/dim]", spinner_style="dim"):
            yield

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep libraries from writing between our lines; with ``--debug`` they may, on stderr."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if self.debug:
            with contextlib.redirect_stdout(sys.stderr):
                yield
            return
        # Before the first import of these libraries, which read them then.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            with self.busy("Starting"):
                from transformers.utils import logging

                logging.set_verbosity_error()  # type: ignore[no-untyped-call]
                logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            yield


def state_of(ctx: typer.Context) -> State:
    """The state that :func:`promptinfill.cli.app.run` made."""
    return ctx.ensure_object(State)
