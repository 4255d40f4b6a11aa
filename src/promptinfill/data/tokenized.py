"""A tokenised data set in flat arrays, and batches of it.

Sequences lie end to end, so a million of them cost a few hundred megabytes and a batch is one
gather. Batches are either bucketed by length (little padding) or packed (none): packed sequences
keep their own positions and cannot see each other.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from promptinfill.data.encoding import PROMPT, RESPONSE, EncodedSequence
from promptinfill.errors import DataError

_FIELD_BIT = 4  # flags byte: region in the low two bits, then "holds a field's value"


@dataclass(frozen=True)
class TokenizedDataset(Dataset[int]):
    """N sequences in flat arrays. Item i is the index i: the collator gathers the tokens.

    Attributes:
        ids: (T,) int32 token ids of all sequences, end to end.
        flags: (T,) uint8; the region, and whether the token holds a field's value.
        starts: (N + 1,) int64 offsets into ``ids``.
        too_long: how many sequences were left out because they exceed the limit.
    """

    ids: NDArray[np.int32]
    flags: NDArray[np.uint8]
    starts: NDArray[np.int64]
    too_long: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each sequence."""
        return np.diff(self.starts)

    @classmethod
    def from_sequences(
        cls, sequences: Iterable[EncodedSequence], *, max_length: int
    ) -> "TokenizedDataset":
        """Collect sequences; those longer than ``max_length`` are left out whole and counted."""
        ids, flags, lengths, too_long = [], [], [], 0
        for sequence in sequences:
            if len(sequence) > max_length:
                too_long += 1
                continue
            field_bits = np.asarray(sequence.is_field, dtype=np.uint8) * _FIELD_BIT
            ids.append(np.asarray(sequence.ids, dtype=np.int32))
            flags.append(np.asarray(sequence.region, dtype=np.uint8) + field_bits)
            lengths.append(len(sequence))
        if not lengths:
            raise DataError(
                f"no sequence fits in max_length = {max_length} tokens ({too_long} too long); "
                "raise max_length or shorten the records"
            )
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(np.concatenate(ids), np.concatenate(flags), starts, too_long)

    @classmethod
    def concatenate(cls, parts: "Sequence[TokenizedDataset]") -> "TokenizedDataset":
        """One data set of all ``parts``, in order."""
        offsets = np.cumsum([0, *(len(p.ids) for p in parts)])
        starts = [p.starts[:-1] + offset for p, offset in zip(parts, offsets[:-1], strict=True)]
        return cls(
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.flags for p in parts]),
            np.concatenate([*starts, offsets[-1:]]).astype(np.int64),
            sum(p.too_long for p in parts),
        )

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, atomically."""
        partial = path.with_name(path.name + ".partial.npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            partial, ids=self.ids, flags=self.flags, starts=self.starts, too_long=self.too_long
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "TokenizedDataset":
        """Read what :meth:`save` wrote (arrays only, no pickle)."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["ids"], file["flags"], file["starts"], int(file["too_long"]))


class LengthBucketSampler(Sampler[list[int]]):
    """Batches of sequences of similar length, in a seeded order that changes with the epoch.

    Sequences are shuffled, cut into chunks of ``batch_size * chunk`` and sorted by length inside a
    chunk; then the batches are shuffled. The last short batch of an epoch is dropped unless it is
    the only one, so that every step weighs the same.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_size: int,
        seed: int,
        chunk: int = 50,
        per_step: int = 1,
    ) -> None:
        """``per_step``: batches of one optimiser step, over processes and accumulation.

        An epoch ends with a whole step, so that its steps do not depend on that division.
        """
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.chunk = chunk
        self.per_step = per_step
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of ``epoch``; accelerate calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        count = len(self.lengths) // self.batch_size
        return count - count % self.per_step or max(1, count)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        span = self.batch_size * self.chunk
        count = len(self)
        if len(order) <= span:  # a single chunk: leave out any, or the longest are never seen
            order = order[: count * self.batch_size]
        for start in range(0, len(order), span):
            part = order[start : start + span]
            order[start : start + span] = part[np.argsort(self.lengths[part], kind="stable")]
        batches = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(count)]
        for i in rng.permutation(count):
            yield batches[i].tolist()


def collate(
    data: TokenizedDataset, indices: Sequence[int], *, pad_token_id: int, packed_length: int | None
) -> dict[str, Tensor]:
    """One batch of tensors, the columns that training needs, all (B, L).

    Keys: ``input_ids`` int64, ``region`` int64, ``field`` bool, ``sequence`` int64 (-1 for padding,
    else which packed sequence of the row), ``position`` int64 within the sequence, ``index`` int64
    (the sequence's number in the data set; noise is drawn from it).

    Args:
        packed_length: None for one sequence a row; else rows of at most this many tokens are filled
            first-fit with several sequences.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    lengths = data.lengths[chosen]
    rows, offsets, numbers = _layout(lengths, packed_length)
    height, width = int(rows.max()) + 1, int((offsets + lengths).max())
    width += -width % 8  # kernels on accelerators want multiples of 8
    source = np.repeat(data.starts[chosen] - np.cumsum(lengths) + lengths, lengths)
    source += np.arange(lengths.sum())
    position = source - np.repeat(data.starts[chosen], lengths)
    at = (np.repeat(rows, lengths), np.repeat(offsets, lengths) + position)

    def spread(values: NDArray[Any], fill: int) -> Tensor:
        out = np.full((height, width), fill, dtype=np.int64)
        out[at] = values
        return torch.from_numpy(out)

    flags = data.flags[source]
    return {
        "input_ids": spread(data.ids[source], pad_token_id),
        "region": spread(flags & 3, 0),
        "field": spread(flags & _FIELD_BIT, 0).bool(),
        "sequence": spread(np.repeat(numbers, lengths), -1),
        "position": spread(position, 0),
        "index": spread(np.repeat(chosen, lengths), 0),
    }


def _layout(
    lengths: NDArray[np.int64], packed_length: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, offset in the row and number in the row of each sequence."""
    if packed_length is None:
        zeros = np.zeros(len(lengths), dtype=np.int64)
        return np.arange(len(lengths)), zeros, zeros
    used: list[int] = []
    counts: list[int] = []
    rows, offsets, numbers = (np.zeros(len(lengths), dtype=np.int64) for _ in range(3))
    for i in np.argsort(-lengths, kind="stable"):
        length = int(lengths[i])
        row = next((r for r, n in enumerate(used) if n + length <= packed_length), len(used))
        if row == len(used):
            used.append(0)
            counts.append(0)
        rows[i], offsets[i], numbers[i] = row, used[row], counts[row]
        used[row] += length
        counts[row] += 1
    return rows, offsets, numbers


def attention_mask(sequence: Tensor) -> Tensor:
    """Who sees whom: (B, L) bool when each row holds one sequence, else (B, L, L) bool blocks.

    Args:
        sequence: (B, L) int64 as in :func:`collate`.
    """
    if bool((sequence <= 0).all()):
        return sequence >= 0
    # Padding (-1) sees padding only, which keeps its softmax finite.
    return sequence[:, :, None] == sequence[:, None, :]


def region_masks(region: Tensor) -> tuple[Tensor, Tensor]:
    """(prompt, response) as (B, L) bool."""
    return region == PROMPT, region == RESPONSE
