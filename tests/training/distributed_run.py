"""One process of a distributed run: recipe, folder. Started by test_distributed.py."""

import sys
from pathlib import Path

import torch

from promptinfill.training.recipe import load_recipe
from promptinfill.training.train import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    train(load_recipe(Path(sys.argv[1]), tuple(sys.argv[3:])), Path(sys.argv[2]))
