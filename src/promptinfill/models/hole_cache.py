"""Cached infilling: keep what the layers computed outside the holes, recompute the holes alone.

A hole of a few tokens stands in a context that never changes. An exact pass runs the whole canvas
and keeps the keys and values of every layer; the steps after it run the hole's positions alone,
which attend to the kept keys and values and to each other. That is approximate: in a bidirectional
model the context's own states depend on what the holes hold, so they grow stale until the next
exact pass. Canvases that are equal, as those of many candidates over one context are before their
first step, share one exact pass and one copy of the cache.

The models are stock transformers classes. They call their attention through transformers'
AttentionInterface, under whose roof :data:`NAME` is registered here; which tensors to record or to
read, a context variable says.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from promptinfill.errors import PromptInfillError
from promptinfill.models.base import MaskedDiffusionLM

NAME = "promptinfill_hole_cache"


@dataclass(frozen=True)
class CacheOptions:
    """When cached infilling computes the whole canvas anew.

    Attributes:
        refresh: an exact pass every so many steps of a canvas; 1 is exact throughout.
        window: positions to either side of each hole that are recomputed with it.
        refresh_below: an exact pass for a canvas, at its next step, once the most probable token
            of its most confident open position falls below this probability.
    """

    refresh: int = 8
    window: int = 0
    refresh_below: float | None = None

    def __post_init__(self) -> None:
        if self.refresh < 1:
            raise PromptInfillError(f"cache refresh is {self.refresh}: it must be at least 1 step")
        if self.window < 0:
            raise PromptInfillError(f"cache window is {self.window}: it must be 0 or more tokens")
        if self.refresh_below is not None and not 0 < self.refresh_below <= 1:
            raise PromptInfillError(
                f"cache refresh_below is {self.refresh_below}: a confidence lies above 0 and at "
                "most at 1"
            )


@dataclass
class _Layer:
    """Keys and values (C, heads, L, size) of C contexts, and who sees whom of the positions that
    are recomputed: (C, Q, L) over the context, (C, Q, Q) over each other; True may."""

    keys: Tensor
    values: Tensor
    sees_context: Tensor
    sees_active: Tensor


@dataclass
class _Store:
    """What the attention function reads and writes during one pass.

    Attributes:
        active: (C, Q) int64: the recomputed positions of each context.
        valid: (C, Q) bool: False where ``active`` is filled up to Q.
        layers: by the layer's number.
        context: (R,) int64: the context of each row of a cached pass; None while recording.
    """

    active: Tensor
    valid: Tensor
    layers: dict[int, _Layer] = field(default_factory=dict)
    context: Tensor | None = None


_STORE: ContextVar[_Store | None] = ContextVar("hole_cache_store", default=None)


class CachedPredictor:
    """A :data:`promptinfill.diffusion.sampling.Predict` with a cache.

    Use it inside ``with predictor.installed()``.

    Args:
        dlm: the model.
        slots: (B, L) int64 of all rows, -1 where nothing is filled.
        attention: (B, L) bool, True on real tokens.
        options: when to compute the whole canvas.

    Attributes:
        exact_tokens, cached_tokens: positions that went through the layers, by kind of pass.
    """

    def __init__(
        self, dlm: MaskedDiffusionLM, slots: Tensor, attention: Tensor, options: CacheOptions
    ) -> None:
        self.dlm = dlm
        self.slots = slots
        self.attention = attention
        self.options = options
        self.active, self.valid = _active_positions(
            slots >= 0, attention, options.window, dlm.conventions.logits_shift
        )
        rows = slots.shape[0]
        self.age = torch.full((rows,), options.refresh, device=slots.device)  # all start exactly
        self.context = torch.full((rows,), -1, device=slots.device)
        self.store: _Store | None = None
        self.exact_tokens = self.cached_tokens = 0

    @contextlib.contextmanager
    def installed(self) -> Iterator["CachedPredictor"]:
        """While it lasts, the model attends through this module."""
        _register()
        model = self.dlm.model
        before = model.config._attn_implementation
        model.set_attn_implementation(NAME)
        try:
            yield self
        finally:
            model.set_attn_implementation(before)

    def __call__(self, tokens: Tensor, rows: Tensor, masked: Tensor) -> Tensor:
        """Logits (M, V) at the masked positions of ``rows``; see ``Predict``."""
        stale = self.age[rows] >= self.options.refresh
        if bool(stale.all()):
            logits = self._exact(tokens, rows, masked)
        elif not bool(stale.any()):
            logits = self._cached(tokens, rows, masked)
        else:
            owner = masked.nonzero()[:, 0]
            parts = self._exact(tokens[stale], rows[stale], masked[stale])
            logits = parts.new_empty((len(owner), parts.shape[1]))
            logits[stale[owner]] = parts
            logits[~stale[owner]] = self._cached(tokens[~stale], rows[~stale], masked[~stale])
        self.age[rows] += 1
        if self.options.refresh_below is not None:
            owner = masked.nonzero()[:, 0]
            best = logits.float().log_softmax(dim=1).amax(dim=1).exp()
            most = best.new_zeros(len(rows)).scatter_reduce(0, owner, best, "amax")
            unsure = (most < self.options.refresh_below) & ~stale
            self.age[rows[unsure]] = self.options.refresh
        return logits

    def _exact(self, tokens: Tensor, rows: Tensor, masked: Tensor) -> Tensor:
        """Run whole canvases, equal ones once, and keep their keys and values."""
        width = int(self.attention[rows].sum(dim=1).max())
        canvas = torch.cat([tokens, self.slots[rows]], dim=1)
        _, same = torch.unique(canvas, dim=0, return_inverse=True)
        first = torch.full((int(same.max()) + 1,), len(rows), device=rows.device)
        first = first.scatter_reduce(0, same, torch.arange(len(rows), device=rows.device), "amin")
        chosen = rows[first]
        store = _Store(self.active[chosen], self.valid[chosen])
        token = _STORE.set(store)
        try:
            hidden = self.dlm.hidden(tokens[first][:, :width], self.attention[chosen][:, :width])
        finally:
            _STORE.reset(token)
        self.exact_tokens += hidden.shape[0] * hidden.shape[1]
        logits = self.dlm.logits_at(hidden, masked[first][:, :width])
        self._keep(store, rows, same)
        self.age[rows] = 0
        if len(first) == len(rows):
            order = torch.argsort(first)  # unique sorts; the logits are wanted in rows' order
            if bool((order == torch.arange(len(rows), device=rows.device)).all()):
                return logits
        counts = masked[first].sum(dim=1)
        start = counts.cumsum(0) - counts
        owner = masked.nonzero()[:, 0]
        of_row = masked.sum(dim=1)
        nth = torch.arange(len(owner), device=rows.device) - (of_row.cumsum(0) - of_row)[owner]
        return logits[start[same[owner]] + nth]

    def _keep(self, new: _Store, rows: Tensor, context: Tensor) -> None:
        """Put the new contexts beside those that other rows still read."""
        old = self.store
        self.context[rows] = -1
        used = torch.unique(self.context[self.context >= 0]) if old is not None else None
        if old is None or used is None or len(used) == 0:
            self.store, self.context[rows] = new, context
            return
        renumbered = torch.full_like(self.context, -1)
        for number, kept in enumerate(used.tolist()):
            renumbered[self.context == kept] = number
        self.store = _joined(old, used, new)
        self.context = renumbered
        self.context[rows] = context + len(used)

    def _cached(self, tokens: Tensor, rows: Tensor, masked: Tensor) -> Tensor:
        """Run the recomputed positions alone."""
        store = self.store
        assert store is not None
        active = self.active[rows]
        store.context = self.context[rows]
        token = _STORE.set(store)
        try:
            found = self.dlm.hidden(tokens.gather(1, active), None, active)
        finally:
            _STORE.reset(token)
            store.context = None
        self.cached_tokens += active.numel()
        # Filled-up places repeat a row's first position, whose state they share.
        hidden = found.new_zeros((*tokens.shape, found.shape[-1]))
        hidden.scatter_(1, active[:, :, None].expand_as(found), found)
        return self.dlm.logits_at(hidden, masked)


def _active_positions(
    holes: Tensor, attention: Tensor, window: int, shift: int
) -> tuple[Tensor, Tensor]:
    """The recomputed positions of each row, (B, Q) int64, and which of them are meant, (B, Q).

    With shifted logits the prediction for p is read at p - 1, so that is recomputed too.
    """
    wanted = holes.clone()
    for step in range(1, max(window, shift) + 1):
        if step <= max(window, shift):
            wanted[:, :-step] |= holes[:, step:]
        if step <= window:
            wanted[:, step:] |= holes[:, :-step]
    wanted &= attention
    counts = wanted.sum(dim=1)
    order = wanted.int().argsort(dim=1, descending=True, stable=True)[:, : int(counts.max())]
    valid = torch.arange(order.shape[1], device=holes.device) < counts[:, None]
    return torch.where(valid, order, order[:, :1]), valid


def _joined(old: _Store, used: Tensor, new: _Store) -> _Store:
    def join(kept: Tensor, added: Tensor) -> Tensor:
        return torch.cat([kept[used], _widened(added, kept)])

    layers = {}
    for number, layer in new.layers.items():
        before = old.layers[number]
        layers[number] = _Layer(
            *(
                join(getattr(before, name), getattr(layer, name))
                for name in ("keys", "values", "sees_context", "sees_active")
            )
        )
    return _Store(join(old.active, new.active), join(old.valid, new.valid), layers)


def _widened(added: Tensor, like: Tensor) -> Tensor:
    """``added`` filled up with zeros (nothing sees them) to the size of ``like``: rows that have
    left took their padding along."""
    if added.shape[1:] == like.shape[1:]:
        return added
    out = added.new_zeros((added.shape[0], *like.shape[1:]))
    out[tuple(slice(0, size) for size in added.shape)] = added
    return out


# --- attention --------------------------------------------------------------------------------


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers: (R, heads, Q, size) queries -> (R, Q, heads, size)."""
    store = _STORE.get()
    if store is None or store.context is None:
        if store is not None:
            store.layers[module.layer_idx] = _recorded(store, key, value, attention_mask)
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        sdpa = ALL_ATTENTION_FUNCTIONS["sdpa"]
        found: tuple[Tensor, None] = sdpa(
            module, query, key, value, attention_mask, scaling=scaling, is_causal=False
        )
        return found
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out = _read(store.layers[module.layer_idx], store.context, query * scale, key, value)
    return out.transpose(1, 2).contiguous(), None


def _recorded(store: _Store, key: Tensor, value: Tensor, attention_mask: Tensor | None) -> _Layer:
    """Keys and values of a whole canvas, and from the model's own mask who sees whom."""
    contexts, _, length, _ = key.shape
    active, valid = store.active, store.valid
    if attention_mask is None:
        allowed = torch.ones((contexts, active.shape[1], length), dtype=torch.bool)
        allowed = allowed.to(key.device)
    else:
        whole = attention_mask[:, 0].expand(contexts, length, length)
        allowed = whole.gather(1, active[:, :, None].expand(-1, -1, length))
        if allowed.dtype != torch.bool:
            allowed = allowed > torch.finfo(allowed.dtype).min / 2
    columns = active[:, None, :].expand(-1, active.shape[1], -1)
    sees_active = allowed.gather(2, columns) & valid[:, None, :]
    recomputed = torch.zeros((contexts, length), dtype=torch.bool, device=key.device)
    recomputed.scatter_(1, active, True)
    return _Layer(key, value, allowed & ~recomputed[:, None, :], sees_active)


def _read(layer: _Layer, context: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of each row's recomputed positions to its context and to each other.

    Rows of one context stand side by side as more queries of it, so that the context's keys and
    values are read where they are, not copied for each row.

    Args:
        context: (R,) into ``layer``.
        query: (R, H, Q, size), scaled; key, value: (R, K, Q, size) with H a multiple of K.

    Returns:
        (R, H, Q, size).
    """
    rows, heads, length, size = query.shape
    shared = key.shape[1]
    group = heads // shared  # query heads that share a key head
    query = query.reshape(rows, shared, group * length, size)
    used, where = torch.unique(context, return_inverse=True)
    keys, values, sees_context = layer.keys, layer.values, layer.sees_context
    if len(used) < len(keys):
        keys, values, sees_context = keys[used], values[used], sees_context[used]
    table = _Table.of(where, len(used))

    to_context = table.spread(query) @ keys.transpose(-1, -2)
    to_context = table.collect(to_context, group * length)
    to_active = query @ key.transpose(-1, -2)
    hidden = -torch.inf
    blind = ~sees_context[where].repeat(1, group, 1)[:, None]
    to_context = to_context.masked_fill(blind, hidden)
    to_active = to_active.masked_fill(
        ~layer.sees_active[context].repeat(1, group, 1)[:, None], hidden
    )
    scores = torch.cat([to_context, to_active], dim=-1)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    split = to_context.shape[-1]
    out = table.collect(table.spread(weights[..., :split]) @ values, group * length)
    out = out + weights[..., split:] @ value
    return out.reshape(rows, heads, length, size)


@dataclass(frozen=True)
class _Table:
    """Rows laid out by context: C lines of as many places as the largest context has rows."""

    context: Tensor  # (R,)
    place: Tensor  # (R,)
    contexts: int
    places: int

    @classmethod
    def of(cls, context: Tensor, contexts: int) -> "_Table":
        counts = context.bincount(minlength=contexts)
        order = context.argsort(stable=True)
        first = counts.cumsum(0) - counts
        place = torch.empty_like(context)
        place[order] = torch.arange(len(context), device=context.device) - first[context[order]]
        return cls(context, place, contexts, int(counts.max()))

    def spread(self, rows: Tensor) -> Tensor:
        """(R, K, M, X) -> (C, K, places * M, X); zeros where a context has fewer rows."""
        _, heads, queries, last = rows.shape
        out = rows.new_zeros((self.contexts, self.places, heads, queries, last))
        out[self.context, self.place] = rows
        return out.transpose(1, 2).reshape(self.contexts, heads, self.places * queries, last)

    def collect(self, spread: Tensor, queries: int) -> Tensor:
        """The inverse of :meth:`spread`."""
        contexts, heads, _, last = spread.shape
        table = spread.view(contexts, heads, self.places, queries, last).transpose(1, 2)
        return table[self.context, self.place]
