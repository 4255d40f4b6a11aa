"""The transformers Trainer with the masked-diffusion objective in place of next-token loss.

Logging, mixed precision, accumulation, checkpoints, resuming and distributed runs are the
Trainer's. Ours is the forward process, the loss, batches by length, and a validation loss split
into prompt and response.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from promptinfill.data.tokenized import (
    LengthBucketSampler,
    TokenizedDataset,
    attention_mask,
    collate,
    region_masks,
)
from promptinfill.diffusion.masking import Policy, Spans, forward_process, full_sequence
from promptinfill.diffusion.noise import derive_key
from promptinfill.diffusion.objective import (
    DiffusionLoss,
    LossWeights,
    chunked_cross_entropy,
    count_items,
    diffusion_loss,
)
from promptinfill.diffusion.schedules import Schedule, get_schedule, sample_times
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.training.throughput import Throughput


@dataclass(frozen=True)
class Noised:
    """A batch after the forward process; all (B, L)."""

    spans: Spans
    times: Tensor
    eligible: Tensor
    masked: Tensor
    input_ids: Tensor


def add_noise(
    batch: dict[str, Tensor],
    *,
    policy: Policy,
    schedule: Schedule,
    mask_token_id: int,
    seed: int,
    step: int,
    stratified_times: bool = False,
) -> Noised:
    """The forward process on one batch: a function of (seed, step, a sequence's index) alone.

    With ``stratified_times``, the batch's times are spread evenly over (0, 1] instead of drawn
    each for itself: a loss of lower variance, but a sequence's time depends on its company.
    """
    prompt, response = region_masks(batch["region"])
    spans = Spans(prompt, response, batch["field"], batch["sequence"])
    seed_key = derive_key(torch.tensor(seed, device=prompt.device), step)
    keys = derive_key(seed_key, batch["index"])
    times = _stratified(keys, spans.sequence) if stratified_times else sample_times(keys)
    eligible = policy(spans, keys)
    input_ids, masked = forward_process(
        batch["input_ids"],
        eligible,
        schedule.mask_rate(times),
        keys,
        batch["position"],
        mask_token_id,
    )
    return Noised(spans, times, eligible, masked, input_ids)


def _stratified(keys: Tensor, sequence: Tensor) -> Tensor:
    """(B, L) times, stratified over the sequences of the batch; 1 at padding."""
    real = sequence >= 0
    own, which = torch.unique(keys[real], return_inverse=True)
    times = torch.ones(keys.shape, device=keys.device)
    times[real] = sample_times(own, stratified=True)[which]
    return times


def noised_loss(
    dlm: MaskedDiffusionLM,
    batch: dict[str, Tensor],
    *,
    policy: Policy,
    schedule: Schedule,
    weights: LossWeights,
    seed: int,
    step: int,
    num_items: Tensor | None = None,
    stratified_times: bool = False,
) -> DiffusionLoss:
    """Forward process, hidden states, logits at masked positions, weighted loss of one batch.

    The noise of a sequence is a function of (seed, step, its index) alone, so it does not depend on
    the batch, its padding, or the number of processes.

    Args:
        batch: the columns of :func:`promptinfill.data.tokenized.collate`, on the model's device.
        num_items: counts of the whole optimiser step, when the batch is a part of it (see
            :func:`promptinfill.diffusion.objective.count_items`).
        stratified_times: see :func:`add_noise`.
    """
    noised = add_noise(
        batch,
        policy=policy,
        schedule=schedule,
        mask_token_id=dlm.mask_token_id,
        seed=seed,
        step=step,
        stratified_times=stratified_times,
    )
    masked = noised.masked
    hidden = dlm.hidden(noised.input_ids, attention_mask(batch["sequence"]), batch["position"])
    token_loss = chunked_cross_entropy(
        dlm.logits_at, hidden, masked, batch["input_ids"], vocab_size=dlm.vocab_size
    )
    return diffusion_loss(
        token_loss,
        masked,
        noised.eligible,
        noised.spans,
        schedule.weight(noised.times),
        weights,
        num_items=num_items,
    )


class DiffusionTrainer(Trainer):
    """Trainer for masked diffusion; see :func:`noised_loss`."""

    def __init__(
        self,
        dlm: MaskedDiffusionLM,
        args: TrainingArguments,
        *,
        train_data: TokenizedDataset,
        validation_data: TokenizedDataset,
        policy: Callable[[float], Policy],
        schedule: Schedule,
        weights: LossWeights,
        packed_length: int | None = None,
        stratified_times: bool = False,
        callbacks: list[Any] | None = None,
    ) -> None:
        self.dlm = dlm
        self.policy = policy
        self.schedule = schedule
        self.weights = weights
        self.packed_length = packed_length
        self.stratified_times = stratified_times
        self.throughput = Throughput()
        self._sums: dict[str, Tensor] = {}
        # Outside ``accelerate launch`` one process takes one device: nn.DataParallel would copy the
        # model without its objective.
        args._n_gpu = min(args.n_gpu, 1)
        super().__init__(
            model=dlm.model,
            args=args,
            train_dataset=train_data,
            eval_dataset=validation_data,
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)  # a library prints nothing; see LogCallback
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True  # by the counts of get_batch_samples
        self.dlm.model.forward = MethodType(self._objective, self.dlm.model)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches bucketed by length, sharded by accelerate."""
        data = self.train_dataset
        assert isinstance(data, TokenizedDataset)
        sampler = LengthBucketSampler(
            data.lengths,
            self.args.per_device_train_batch_size,
            self.args.seed,
            per_step=self.accelerator.num_processes * self.args.gradient_accumulation_steps,
        )
        loader: DataLoader[Any] = self.accelerator.prepare(
            self._loader(data, batch_sampler=sampler)
        )
        return loader

    def _loader(self, data: TokenizedDataset, **how: Any) -> DataLoader[Any]:
        def gather(indices: list[int]) -> dict[str, Tensor]:
            return collate(
                data,
                indices,
                pad_token_id=self.dlm.pad_token_id,
                packed_length=self.packed_length,
            )

        workers = self.args.dataloader_num_workers
        return DataLoader(
            data,
            collate_fn=gather,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            **how,
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | None]:
        """The micro-batches of one optimiser step, and what their losses are divided by.

        Micro-batches, and the batches of several processes, mask unequal numbers of tokens, so a
        mean of their means would be another loss than that of the whole batch: they are divided by
        the counts of the whole step, over all processes. None when the step is one batch, which
        counts for itself.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if (num_batches == 1 and self.accelerator.num_processes == 1) or not batches:
            return batches, None
        counts = [self._count(self._prepare_inputs(batch)) for batch in batches]
        total: Any = self.accelerator.reduce(torch.stack(counts).sum(dim=0), "sum")
        return batches, total

    def _count(self, batch: dict[str, Tensor]) -> Tensor:
        noised = add_noise(batch, mask_token_id=self.dlm.mask_token_id, **self._noise())
        return count_items(noised.masked, noised.eligible, noised.spans, self.weights)

    def _noise(self) -> dict[str, Any]:
        """Policy, schedule and seeds of the current step."""
        progress = self.state.global_step / max(1, self.state.max_steps)
        return {
            "policy": self.policy(progress),
            "schedule": self.schedule,
            "seed": self.args.seed,
            "step": self.state.global_step,
            "stratified_times": self.stratified_times,
        }

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The masked-diffusion loss of one batch; its parts are kept for the log."""
        # Through the module that training wraps (DDP, FSDP, DeepSpeed), whose forward prepares the
        # gradients' reduction; see _objective.
        loss = DiffusionLoss(*model(inputs, num_items_in_batch))
        self.throughput.add(inputs["sequence"])
        for name, value in _parts(loss).items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        # Every process divides by the counts of all, and gradients are then averaged over them.
        total = loss.total * self.accelerator.num_processes
        return (total, None) if return_outputs else total

    def _objective(
        self, model: Any, batch: dict[str, Tensor], num_items: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The model's forward while it trains: (batch, counts) -> the fields of DiffusionLoss.

        A tuple, because the wrappers look for the tensors in a module's output.
        """
        loss = noised_loss(
            self.dlm, batch, weights=self.weights, num_items=num_items, **self._noise()
        )
        return loss.total, loss.prompt, loss.response, loss.prompt_count, loss.response_count

    def restore_forward(self) -> None:
        """Give the model its own forward back."""
        self.dlm.model.__dict__.pop("forward", None)

    def compute_loss_context_manager(self) -> Any:
        """Autocast in the run's mixed precision.

        accelerate puts it around the model's own forward, which the objective does not go through.
        """
        return self.accelerator.autocast()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean loss per masked token of each region since the last log, tokens per second
        and memory."""
        if self._sums and "loss" in logs:
            logs |= _means({k: float(v) for k, v in self._sums.items()}, prefix="")
            logs |= self.throughput.take()
            self._sums = {}
        super().log(logs, *args, **kwargs)

    @torch.no_grad()
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Mean loss per masked token, prompt and response apart, under full-sequence masking.

        One fixed noise on the linear schedule, whatever was trained with: runs can be compared.
        """
        data: Any = eval_dataset or self.eval_dataset
        loader = self.accelerator.prepare(
            self._loader(data, batch_size=self.args.per_device_eval_batch_size)
        )
        self.dlm.model.eval()
        sums: dict[str, Tensor] = {}
        for batch in loader:
            with self.compute_loss_context_manager():
                loss = noised_loss(
                    self.dlm,
                    self._prepare_inputs(batch),
                    policy=full_sequence,
                    schedule=get_schedule("linear"),
                    weights=LossWeights(time="uniform"),
                    seed=0,
                    step=0,
                )
            for name, value in _parts(loss).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
        total = {k: float(self.accelerator.reduce(v)) for k, v in sums.items()}
        metrics = _means(total, prefix=f"{metric_key_prefix}_")
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


def _parts(loss: DiffusionLoss) -> dict[str, Tensor]:
    """Summed loss and masked-token count of each region: these add up over batches."""
    return {
        "prompt": loss.prompt * loss.prompt_count,
        "prompt_tokens": loss.prompt_count.float(),
        "response": loss.response * loss.response_count,
        "response_tokens": loss.response_count.float(),
    }


def _means(sums: dict[str, float], *, prefix: str) -> dict[str, float]:
    out = {}
    for region in ("prompt", "response"):
        count = sums[f"{region}_tokens"]
        if count:
            out[f"{prefix}{region}_loss"] = sums[region] / count
    total = sums["prompt_tokens"] + sums["response_tokens"]
    out[f"{prefix}loss_per_masked_token"] = (sums["prompt"] + sums["response"]) / max(total, 1)
    return out
