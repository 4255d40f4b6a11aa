"""Two tiny random models on disk."""

import pytest
import torch
from suite import save_model


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Folders of two models with different weights."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("two")
    return save_model(root / "a", 0), save_model(root / "b", 1)
