"""promptinfill: unlock, use and measure prompt infilling with masked diffusion language models.

Public names are imported on first use, so that `import promptinfill` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Template": "promptinfill.templates",
    "MaskedDiffusionLM": "promptinfill.models.base",
    "infill": "promptinfill.infilling.infill",
    "Result": "promptinfill.infilling.result",
    "exact_match": "promptinfill.tasks.metrics",
    "contains": "promptinfill.tasks.metrics",
    "PromptInfillError": "promptinfill.errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from promptinfill.errors import PromptInfillError as PromptInfillError
    from promptinfill.infilling.infill import infill as infill
    from promptinfill.infilling.result import Result as Result
    from promptinfill.models.base import MaskedDiffusionLM as MaskedDiffusionLM
    from promptinfill.tasks.metrics import contains as contains
    from promptinfill.tasks.metrics import exact_match as exact_match
    from promptinfill.templates import Template as Template


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'promptinfill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
