"""A tiny random model that writes words."""

from pathlib import Path

import pytest
import torch
from scenario import make_dlm

from helpers import tiny_dlm
from promptinfill.models.base import MaskedDiffusionLM


@pytest.fixture(scope="session")
def dlm() -> MaskedDiffusionLM:
    return make_dlm()


@pytest.fixture(scope="session")
def free_dlm() -> MaskedDiffusionLM:
    """The same, and any token that is not special may come out."""
    torch.set_num_threads(1)
    return tiny_dlm("modernbert")


@pytest.fixture(scope="session")
def dlm_folder(dlm: MaskedDiffusionLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    dlm.save_pretrained(folder)
    return folder
