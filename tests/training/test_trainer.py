"""The loss of a batch is a property of its sequences: not of padding, packing or micro-batches."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainingArguments

from helpers import tiny_dlm
from promptinfill.data.encoding import encode_segments
from promptinfill.data.tokenized import TokenizedDataset, collate
from promptinfill.diffusion.masking import full_sequence, parse_policy, response_only
from promptinfill.diffusion.objective import LossWeights
from promptinfill.diffusion.schedules import SCHEDULES
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Template
from promptinfill.training.trainer import DiffusionTrainer, add_noise, noised_loss

WORDS = ["apple", "a", "bread and butter", "chair", "dog", "elephants", "of", "ink"]
TEMPLATE = Template("Write the first letter.\nInput: {input}\nOutput: {output}", "output")
POLICY = parse_policy(
    {"mixture": {"response_only": 1, "full_sequence": 1, "prompt_spans": 1, "prompt_only": 1}}
)(0.0)
LINEAR = SCHEDULES["linear"]


def dataset(dlm: MaskedDiffusionLM, repeats: int = 1) -> TokenizedDataset:
    rows = [TEMPLATE.segments({"input": w, "output": w[: 1 + len(w) // 4]}) for w in WORDS]
    return TokenizedDataset.from_sequences(
        encode_segments(dlm, rows * repeats, end=True), max_length=128
    )


def batch_of(
    dlm: MaskedDiffusionLM, indices: list[int], packed_length: int | None = None
) -> dict[str, Tensor]:
    return collate(
        dataset(dlm), indices, pad_token_id=dlm.pad_token_id, packed_length=packed_length
    )


def loss_of(dlm: MaskedDiffusionLM, batch: dict[str, Tensor], **changes: Any) -> Any:
    how = {"policy": POLICY, "schedule": LINEAR, "weights": LossWeights(), "seed": 3, "step": 5}
    with torch.no_grad():
        return noised_loss(dlm, batch, **(how | changes))


EVERYONE = list(range(len(WORDS)))
WEIGHTS = [
    LossWeights(),
    LossWeights(time="uniform", prompt=0.3, balance_regions=True),
    LossWeights(normalisation="sequence"),
    LossWeights(normalisation="batch", response=2),
]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["modernbert", "llama", "qwen2"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_packing_and_padding_leave_the_loss(family: str, attention: str, weights: LossWeights):
    dlm = tiny_dlm(family)
    dlm.model.set_attn_implementation(attention)
    padded = loss_of(dlm, batch_of(dlm, EVERYONE), weights=weights)
    assert padded.prompt_count > 10
    assert padded.response_count > 3
    for indices, packed_length in ((EVERYONE[::-1], None), (EVERYONE, 80), (EVERYONE[::-1], 200)):
        other = loss_of(dlm, batch_of(dlm, indices, packed_length), weights=weights)
        assert other.prompt_count == padded.prompt_count
        assert other.response_count == padded.response_count
        for name in ("total", "prompt", "response"):
            expected = getattr(padded, name)
            torch.testing.assert_close(getattr(other, name), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_loss_of_a_batch_is_that_of_its_sequences(weights: LossWeights):
    """Divided by one common count, the losses of single sequences add up to the batch's."""
    dlm = tiny_dlm("llama")
    count = torch.ones(2 if weights.balance_regions else 1, dtype=torch.int64)
    how = {"weights": weights, "num_items": count}
    together = loss_of(dlm, batch_of(dlm, EVERYONE), **how).total
    alone = [loss_of(dlm, batch_of(dlm, [i]), **how).total for i in EVERYONE]
    torch.testing.assert_close(sum(alone), together, rtol=1e-4, atol=1e-4)
    assert len({round(float(value), 3) for value in alone}) > 4


def test_noise_is_a_function_of_seed_step_and_index():
    dlm = tiny_dlm("llama")

    def masked(indices: list[int], seed: int, step: int) -> list[list[int]]:
        batch = batch_of(dlm, indices)
        how = {"policy": full_sequence, "schedule": LINEAR, "mask_token_id": dlm.mask_token_id}
        noised = add_noise(batch, seed=seed, step=step, **how)
        assert torch.equal(noised.input_ids == dlm.mask_token_id, noised.masked)
        kept = ~noised.masked
        assert torch.equal(noised.input_ids[kept], batch["input_ids"][kept])
        return [row.nonzero().flatten().tolist() for row in noised.masked]

    first = masked(EVERYONE, 0, 0)
    assert masked([5, 2], 0, 0) == [first[5], first[2]]
    assert masked(EVERYONE, 0, 1) != first
    assert masked(EVERYONE, 1, 0) != first


def test_control_tokens_and_padding_are_never_masked():
    dlm = tiny_dlm("llama")
    batch = batch_of(dlm, EVERYONE)
    for step in range(20):
        noised = add_noise(
            batch, policy=full_sequence, schedule=LINEAR, mask_token_id=3, seed=0, step=step
        )
        assert not noised.masked[batch["region"] == 0].any()


# --- the Trainer ------------------------------------------------------------------------------


def trainer_of(dlm: MaskedDiffusionLM, folder: Any, repeats: int = 1, **how: Any) -> Any:
    steps, size, accumulation = how.pop("steps", 2), how.pop("size", 8), how.pop("parts", 1)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=size,
        per_device_eval_batch_size=how.pop("eval_size", 8),
        gradient_accumulation_steps=accumulation,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=True,
    )
    data = dataset(dlm, repeats)
    settings = {
        "policy": lambda progress: POLICY,
        "schedule": LINEAR,
        "weights": LossWeights(),
        "train_data": data,
        "validation_data": data,
    }
    return DiffusionTrainer(dlm, arguments, **(settings | how))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_accumulated_micro_batches_are_the_whole_batch(weights: LossWeights, tmp_path: Any):
    """Four micro-batches of two take the same steps as one batch of eight."""
    found = []
    for size, parts in ((8, 1), (2, 4)):
        dlm = tiny_dlm("llama", initializer_range=0.1)
        trainer = trainer_of(dlm, tmp_path, size=size, parts=parts, weights=weights)
        trainer.train()
        losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
        found.append((losses, {n: p.detach().clone() for n, p in dlm.model.named_parameters()}))
    (whole_losses, whole), (part_losses, part) = found
    assert len(whole_losses) == 2
    assert part_losses == pytest.approx(whole_losses, rel=1e-4)
    start = dict(tiny_dlm("llama", initializer_range=0.1).model.named_parameters())
    for name, value in whole.items():
        torch.testing.assert_close(part[name], value, rtol=1e-3, atol=1e-5)
    assert max(float((whole[n] - start[n].detach()).abs().max()) for n in whole) > 1e-3


def test_packed_training_takes_the_same_steps(tmp_path: Any):
    found = []
    for packed_length in (None, 128):
        dlm = tiny_dlm("llama", initializer_range=0.1)
        dlm.model.set_attn_implementation("eager")  # what training on a CPU uses
        trainer_of(dlm, tmp_path, packed_length=packed_length).train()
        found.append(dict(dlm.model.named_parameters()))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-5)


def test_validation_is_the_same_for_any_batches_and_recipe(tmp_path: Any):
    dlm = tiny_dlm("llama")
    found = []
    for how in (
        {},
        {"eval_size": 3},
        {"packed_length": 100},
        {"weights": LossWeights(prompt=0), "policy": lambda progress: response_only},
    ):
        metrics = trainer_of(dlm, tmp_path, **how).evaluate()
        assert metrics["eval_prompt_loss"] != pytest.approx(metrics["eval_response_loss"], rel=1e-3)
        found.append([metrics[f"eval_{name}"] for name in ("prompt_loss", "response_loss")])
        found[-1].append(metrics["eval_loss_per_masked_token"])
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)
    direct = loss_of(
        dlm,
        batch_of(dlm, EVERYONE),
        policy=full_sequence,
        weights=LossWeights(time="uniform"),
        seed=0,
        step=0,
    )
    assert found[0] == pytest.approx(
        [float(direct.prompt), float(direct.response), float(direct.total)], rel=1e-5
    )


def test_stages_follow_the_progress_of_the_training(tmp_path: Any):
    seen = []

    def policy(progress: float) -> Any:
        seen.append(progress)
        return response_only if progress >= 0.5 else full_sequence

    trainer = trainer_of(tiny_dlm("llama"), tmp_path, steps=4, policy=policy)
    trainer.train()
    assert seen == [0, 0.25, 0.5, 0.75]
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert ["prompt_loss" in log for log in logs] == [True, True, False, False]
    assert all("response_loss" in log for log in logs)


def test_training_prints_nothing(tmp_path: Any, capsys: pytest.CaptureFixture[str]):
    trainer = trainer_of(tiny_dlm("llama"), tmp_path)
    trainer.train()
    trainer.evaluate()
    assert capsys.readouterr().out == ""


def test_an_epoch_takes_other_batches_than_the_one_before(tmp_path: Any):
    trainer = trainer_of(tiny_dlm("llama"), tmp_path, repeats=2, size=4, steps=8)
    seen = []
    compute = trainer.compute_loss

    def compute_loss(model: Any, inputs: dict[str, Tensor], *args: Any, **how: Any) -> Any:
        seen.append(inputs["index"][:, 0].tolist())
        return compute(model, inputs, *args, **how)

    trainer.compute_loss = compute_loss
    trainer.train()
    for epoch in (seen[:4], seen[4:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(16))
    assert seen[:4] != seen[4:]
