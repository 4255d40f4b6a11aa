"""What a training run tells the world: a JSON line per log, and a hook for progress displays."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class LogCallback(TrainerCallback):
    """Append every log to ``path`` and pass it on."""

    def __init__(
        self, path: Path, on_log: Callable[[int, dict[str, float]], None] | None = None
    ) -> None:
        self.path = path
        self.on_log_values = on_log
        self.started = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write one JSON line with step and seconds since the start."""
        if not state.is_world_process_zero or not logs:
            return
        values = {"step": state.global_step, "seconds": round(time.monotonic() - self.started, 2)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values | logs) + "\n")
        if self.on_log_values:
            self.on_log_values(state.global_step, logs)
