"""Counter-based random numbers: each draw is a pure function of a key and some counters.

A generator with hidden state gives a row other numbers when its neighbours in the batch change.
Here a sequence carries its own key, and a draw is named by counters (a stream, a step, a position),
so that masks and samples are the same on any device, in any batch, in any order.

The mixing is that of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators"), on int64 tensors, whose products and sums wrap around.
"""

from enum import IntEnum

import torch
from torch import Tensor

Counter = Tensor | int


class Stream(IntEnum):
    """First counter of every draw made in this package: draws of two streams are independent."""

    TIME = 1
    NOISE = 2
    MIXTURE = 3
    SPAN_LENGTH = 4
    SPAN_START = 5
    TOKEN = 6
    ORDER = 7
    STRATUM = 8
    DRAW = 9


def _signed(value: int) -> int:
    """`value` modulo 2**64, as the int64 with the same bits."""
    return (value + 2**63) % 2**64 - 2**63


_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = _signed(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = _signed(0x94D049BB133111EB)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Logical shift: torch's `>>` on int64 copies the sign bit, the mask clears its copies."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser: a bijection of 64 bits in which each bit depends on all."""
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLIER_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLIER_2
    return bits ^ _shift_right(bits, 31)


def _stride(counter: Counter) -> Tensor | int:
    """How far the counter's draw lies along its Weyl sequence; +1, so that 0 is a step too."""
    if isinstance(counter, Tensor):
        return (counter.to(torch.int64) + 1) * _signed(_GOLDEN)
    return _signed((int(counter) + 1) * _GOLDEN)


def derive_key(key: Tensor, *counters: Counter) -> Tensor:
    """The key of a named child: `derive_key(seed, epoch, index)`.

    Args:
        key: integer tensor of any shape.
        counters: integer tensors or ints, broadcast with `key`; their order matters.

    Returns:
        int64, of the broadcast shape, on the key's device.
    """
    bits = _mix(key.to(torch.int64) + _signed(_GOLDEN))
    for counter in counters:
        bits = _mix(bits + _stride(counter))
    return bits


def uniform(key: Tensor, *counters: Counter) -> Tensor:
    """Uniform draws in [0, 1): the same for the same (key, counters), whatever the rest.

    Args:
        key: integer tensor of any shape.
        counters: integer tensors or ints, broadcast with `key`.

    Returns:
        float32, of the broadcast shape, a multiple of 2**-24 (so 1 is never reached by rounding).
    """
    return _shift_right(derive_key(key, *counters), 40).to(torch.float32) * 2.0**-24
