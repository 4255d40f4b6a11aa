"""Targets that only answer, by name: what ``targets`` of a suite and ``--target`` may hold."""

from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Target
from promptinfill.targets.diffusion import DiffusionTarget


def open_target(source: str) -> Target:
    """Open a target: a masked diffusion LM, by embedded:NAME, folder or hub id.

    Raises:
        ModelError: it is none.
    """
    return DiffusionTarget(MaskedDiffusionLM.from_pretrained(source))
