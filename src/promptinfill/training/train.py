"""One training run: recipe in, run folder out.

The folder holds the recipe, the environment, the Trainer's checkpoints (from which a killed run
continues), the log as JSON lines, and at the end the model and ``result.json``.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from promptinfill import __version__
from promptinfill.data.tokenized import TokenizedDataset
from promptinfill.diffusion.masking import parse_policy
from promptinfill.diffusion.objective import LossWeights
from promptinfill.diffusion.schedules import get_schedule
from promptinfill.errors import ModelError, RecipeError
from promptinfill.files import write_json
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import Conventions
from promptinfill.training.data import load_source
from promptinfill.training.recipe import ModelSection, Recipe

# What the Trainer calls by another name than the recipe, which has the last word.
_ELSEWHERE = {
    "max_steps": "training.steps",
    "num_train_epochs": "training.steps",
    "per_device_train_batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "warmup_steps": "training.warmup_steps",
    "seed": "seed",
    "data_seed": "seed",
    "output_dir": "--out",
}


def initial_model(
    section: ModelSection, *, seed: int, trust_remote_code: bool = False
) -> MaskedDiffusionLM:
    """Open the start checkpoint, or make a new network with the micro-task tokenizer."""
    if section.start is not None:
        return MaskedDiffusionLM.from_pretrained(
            section.start, device="cpu", trust_remote_code=trust_remote_code
        )
    import transformers

    from promptinfill.microtasks import vocabulary_words
    from promptinfill.models.tokenizer import MASK, build_tokenizer

    arguments = dict(section.new or {})
    model_type = arguments.pop("type", None)
    tokenizer = build_tokenizer(vocabulary_words())
    specials = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    try:
        config = transformers.AutoConfig.for_model(model_type, **arguments, **specials)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"model.new: {str(error).splitlines()[0]}") from None
    from promptinfill.models.families import family_for

    family = family_for(config.model_type, "model.new")
    if family.causal_by_default:
        config.is_causal = False
    torch.manual_seed(seed)
    model = getattr(transformers, family.auto_class).from_config(config)
    conventions = Conventions(mask_token=MASK, eos_padding=False)  # nothing trained yet
    return MaskedDiffusionLM(model, tokenizer, conventions, name="new model")


def training_arguments(recipe: Recipe, folder: Path) -> Any:
    """transformers' TrainingArguments of a recipe; RecipeError names an unknown argument."""
    from transformers import TrainingArguments

    section = recipe.training
    arguments: dict[str, Any] = {
        "output_dir": str(folder / "checkpoints"),
        "max_steps": section.steps,
        "per_device_train_batch_size": section.batch_size,
        "per_device_eval_batch_size": section.batch_size,
        "learning_rate": section.learning_rate,
        "warmup_steps": section.warmup_steps,
        "seed": recipe.seed,
        "logging_steps": 50,
        "save_steps": 500,
        "save_total_limit": 1,
        "eval_strategy": "steps",
        "eval_steps": 500,
        "report_to": "none",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "log_level": "error",
        "use_cpu": not torch.cuda.is_available(),
        **section.arguments,
    }
    for name, place in _ELSEWHERE.items():
        if name in section.arguments:
            raise RecipeError(f"training.arguments.{name}: give it as {place}, where runs look")
    try:
        return TrainingArguments(**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"training.arguments: {error}") from None


def train(
    recipe: Recipe,
    folder: Path,
    *,
    cache: Path | None = None,
    trust_remote_code: bool = False,
    on_log: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Run ``recipe`` in ``folder`` and return what ``result.json`` holds.

    The same command on the same folder continues from the last checkpoint; a finished folder is
    returned as it is. A folder of another recipe is refused.

    Args:
        on_log: called with (step, values) at every log of the Trainer.
    """
    _claim_folder(folder, recipe)
    done = folder / "result.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    arguments = training_arguments(recipe, folder)  # checked before the data is prepared
    dlm = initial_model(recipe.model, seed=recipe.seed, trust_remote_code=trust_remote_code)
    if recipe.data.max_length > dlm.max_length:
        raise RecipeError(
            f"data.max_length is {recipe.data.max_length}, but {dlm.name} has positions for "
            f"{dlm.max_length} tokens only"
        )
    if recipe.data.packed_length and dlm.conventions.logits_shift and dlm.bos_token_id is None:
        raise RecipeError(
            f"data.packed_length: {dlm.name} reads each prediction one token earlier and has no "
            "BOS, so a packed sequence would start from its neighbour; leave packed_length out"
        )
    train_data = load_source(dlm, recipe.data.train, recipe.data, cache=cache)
    validation_data = load_source(dlm, recipe.data.validation, recipe.data, cache=cache)
    if recipe.lora is not None:
        _add_lora(dlm, recipe)
    _choose_attention(dlm)
    started = time.monotonic()
    trainer = _trainer(dlm, recipe, folder, arguments, train_data, validation_data, on_log)
    checkpoint = _last_checkpoint(folder / "checkpoints")
    trainer.train(resume_from_checkpoint=checkpoint)
    metrics = trainer.evaluate()
    trainer.restore_forward()
    if recipe.lora is not None:
        dlm.model = dlm.model.merge_and_unload()
    trained = dlm.with_conventions(
        schedule=recipe.schedule,
        policy=recipe.policy,
        eos_padding=recipe.data.eos_padding > 0 or dlm.conventions.eos_padding,
    )
    result = {
        "steps": recipe.training.steps,
        "seconds": round(time.monotonic() - started, 1),
        "resumed_from": checkpoint,
        "parameters": sum(p.numel() for p in dlm.model.parameters()),
        "train": _describe(train_data),
        "validation": _describe(validation_data) | metrics,
    }
    if trainer.is_world_process_zero():
        trained.save_pretrained(folder / "model")
        write_json(done, result)
    return result


def _trainer(
    dlm: MaskedDiffusionLM,
    recipe: Recipe,
    folder: Path,
    arguments: Any,
    train_data: TokenizedDataset,
    validation_data: TokenizedDataset,
    on_log: Callable[[int, dict[str, float]], None] | None,
) -> Any:
    from promptinfill.training.callbacks import LogCallback
    from promptinfill.training.trainer import DiffusionTrainer

    return DiffusionTrainer(
        dlm,
        arguments,
        train_data=train_data,
        validation_data=validation_data,
        policy=parse_policy(recipe.policy),
        schedule=get_schedule(recipe.schedule),
        weights=LossWeights(**recipe.loss.model_dump()),
        packed_length=recipe.data.packed_length,
        stratified_times=recipe.training.stratified_times,
        callbacks=[LogCallback(folder / "log.jsonl", on_log)],
    )


def _claim_folder(folder: Path, recipe: Recipe) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "recipe.json"
    values = recipe.model_dump(mode="json")
    if settings.is_file():
        if json.loads(settings.read_text()) != values:
            raise RecipeError(
                f"{folder} holds a run of another recipe; choose another --out, or delete it"
            )
        return
    if int(os.environ.get("RANK", "0")):  # one process of a distributed run writes for all
        return
    write_json(settings, values)
    write_json(
        folder / "environment.json",
        {
            "promptinfill": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "threads": torch.get_num_threads(),
        },
    )


def _add_lora(dlm: MaskedDiffusionLM, recipe: Recipe) -> None:
    try:
        import peft
    except ImportError:
        raise ModelError("LoRA needs the peft library: pip install promptinfill[peft]") from None
    assert recipe.lora is not None
    config = peft.LoraConfig(
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=recipe.lora.target_modules,
    )
    torch.manual_seed(recipe.seed)  # adapters start from random numbers
    dlm.model = peft.get_peft_model(dlm.model, config)


def _choose_attention(dlm: MaskedDiffusionLM) -> None:
    """Take the attention kernels that are fast when every batch has another shape.

    On the CPU, SDPA's backward in bf16 took most of a step (see benchmarks); plain matrix products
    do not. On CUDA, cuDNN's attention plans anew for every shape, so it is switched off.
    """
    if torch.cuda.is_available():
        torch.backends.cuda.enable_cudnn_sdp(False)
    else:
        dlm.model.set_attn_implementation("eager")


def _last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that is whole: a kill may have come while one was being written."""

    def step(checkpoint: Path) -> int:
        return int(checkpoint.name.rpartition("-")[2])

    found = sorted(folder.glob("checkpoint-[0-9]*"), key=step, reverse=True)
    return next((str(checkpoint) for checkpoint in found if _is_whole(checkpoint)), None)


def _is_whole(checkpoint: Path) -> bool:
    """Whether the Trainer came to write its state, which it does last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    return True


def _describe(data: TokenizedDataset) -> dict[str, int]:
    return {
        "sequences": len(data),
        "tokens": len(data.ids),
        "too_long_left_out": data.too_long,
    }
