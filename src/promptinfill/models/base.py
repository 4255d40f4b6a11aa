"""MaskedDiffusionLM: one small interface over stock transformers checkpoints.

Training and sampling ask for hidden states once and for logits at chosen positions only, so a full
(batch, length, vocabulary) tensor is never built on the way. This module knows tokens and tensors;
templates and prompts are somebody else's business.
"""

import copy
import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from promptinfill.errors import ModelError
from promptinfill.models.conventions import FILE_NAME, Conventions
from promptinfill.models.families import Family, family_for

EMBEDDED_PREFIX = "embedded:"
_FINGERPRINT_VALUES = 256  # of each tensor
_ROLE_MARKER = re.compile(r"<\|.*\|>")  # added, though not always declared special


class MaskedDiffusionLM(nn.Module):
    """A masked diffusion language model: a transformers model, its tokenizer and conventions.

    Attributes:
        model: the transformers model (``...ForMaskedLM`` or a bidirectional ``...ForCausalLM``).
        tokenizer: its fast tokenizer.
        conventions: the diffusion conventions, saved as ``diffusion_config.json``.
        name: what it was opened as, for messages and artefacts.
    """

    def __init__(
        self, model: Any, tokenizer: Any, conventions: Conventions, *, name: str = "model"
    ) -> None:
        super().__init__()
        self.family: Family = family_for(model.config.model_type, name)
        if self.family.causal_by_default and getattr(model.config, "is_causal", True):
            raise ModelError(
                f"{name}: a {model.config.model_type} model attends causally; set "
                "config.is_causal = False before loading it (from_pretrained does)"
            )
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"{name}: needs a fast tokenizer (tokenizer.json) for exact offsets")
        self.model = model
        self.tokenizer = tokenizer
        self.conventions = conventions
        self.name = name
        self.mask_token_id: int = _token_id(tokenizer, conventions.mask_token, name)
        self.eos_token_id: int = _first_id(tokenizer, ("eos", "sep"), name, "EOS")
        self.bos_token_id: int | None = (
            _first_id(tokenizer, ("bos", "cls"), name, "BOS") if conventions.bos else None
        )
        pad = tokenizer.pad_token_id
        self.pad_token_id: int = self.eos_token_id if pad is None else int(pad)
        self.end_token_ids: tuple[int, ...] = (
            self.eos_token_id,
            *(_token_id(tokenizer, token, name) for token in conventions.end_tokens),
        )
        # Where padding is EOS, its row is a token's like any other: a padding_idx of the embedding
        # would keep its gradient at zero.
        embedding = model.get_input_embeddings()
        if getattr(embedding, "padding_idx", None) in (self.eos_token_id, self.mask_token_id):
            embedding.padding_idx = None

    # -- forward ---------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def vocab_size(self) -> int:
        """Rows of the output layer; may exceed the tokenizer's length when padded."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def max_length(self) -> int:
        """Longest sequence, in tokens, that the position encoding was made for."""
        config = self._transformers_model.config
        return int(config.max_position_embeddings) - self.family.first_position(config)

    def hidden(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states (B, L, D), without the output layer.

        Args:
            input_ids: (B, L) int64.
            attention_mask: None, (B, L) bool with True on real tokens, or (B, L, L) bool with True
                where a query (second axis) may see a key (third): packed sequences.
            position_ids: (B, L) int64; needed with packed sequences, so that each starts at 0.
        """
        model = self._transformers_model
        mask: Any = attention_mask
        if attention_mask is not None and attention_mask.dim() == 3:
            mask = _block_mask(attention_mask, model.config)
        first = self.family.first_position(model.config)
        if first and position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        extra = {} if position_ids is None else {"position_ids": position_ids + first}
        out = model.base_model(input_ids=input_ids, attention_mask=mask, **extra)
        hidden: Tensor = out.last_hidden_state
        return hidden

    def logits_at(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Logits (M, V) that predict the tokens at ``positions``, row-major order.

        Args:
            hidden: (B, L, D) from :meth:`hidden`.
            positions: (B, L) bool, M of them True. With shifted logits the prediction for p is
                read at p - 1, so position 0 cannot be asked for (ModelError).
        """
        if self.conventions.logits_shift:
            if bool(positions[:, 0].any()):
                raise ModelError(
                    f"{self.name}: its logits are shifted by one, so the first token cannot be "
                    "predicted; start the sequence with a BOS token"
                )
            positions = torch.roll(positions, shifts=-1, dims=1)
        return self.family.head(self._transformers_model, hidden[positions])

    def logits(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Full logits (B, L, V), each for its own position (any shift undone). For checks only.

        With shifted logits, position 0 has no prediction and holds zeros.
        """
        hidden = self.hidden(input_ids, attention_mask)
        full = self.family.head(self._transformers_model, hidden)
        if self.conventions.logits_shift:
            full = torch.cat([torch.zeros_like(full[:, :1]), full[:, :-1]], dim=1)
        return full

    @property
    def _transformers_model(self) -> Any:
        """The transformers model, also while peft wraps it (the adapters are inside its layers)."""
        wrapped = hasattr(self.model, "get_base_model")
        return self.model.get_base_model() if wrapped else self.model

    # -- tokens ----------------------------------------------------------------------------------

    @functools.cached_property
    def suppressed(self) -> Tensor:
        """(V,) bool on the CPU: tokens that never come out of sampling.

        The mask, every special token and role marker except those that end an answer, ids that the
        tokenizer does not define, and the conventions' own list. What ends an answer is left to the
        caller: an answer may end, a hole may not.
        """
        banned = torch.ones(self.vocab_size, dtype=torch.bool)
        banned[
            torch.tensor([i for i in self.tokenizer.get_vocab().values() if i < len(banned)])
        ] = False
        specials = [*self.tokenizer.all_special_ids, self.mask_token_id, self.pad_token_id]
        specials += [
            number
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.special or _ROLE_MARKER.fullmatch(token.content)
        ]
        banned[torch.tensor([i for i in specials if i < len(banned)])] = True
        banned[torch.tensor(self.end_token_ids)] = False
        for token in self.conventions.suppressed_tokens:
            banned[_token_id(self.tokenizer, token, self.name)] = True
        return banned

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of the weights (their shapes and first values), tokenizer and conventions.

        Cheap at any size; other weights under the same name give another fingerprint.
        """
        digest = hashlib.blake2b(digest_size=8)
        for name, weights in self.model.state_dict().items():
            first = weights.flatten()[:_FINGERPRINT_VALUES].float().cpu().numpy().tobytes()
            digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode() + first)
        digest.update(self.tokenizer.backend_tokenizer.to_str().encode())
        digest.update(repr(self.conventions).encode())
        return digest.hexdigest()

    # -- opening and saving ----------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = torch.float32,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> "MaskedDiffusionLM":
        """Open a checkpoint: a folder, a hub id, or ``embedded:NAME``.

        Only safetensors weights are read, and no remote code runs unless asked for.

        Args:
            name_or_path: folder, hub id, or ``embedded:best`` and its siblings.
            device: where to put the weights; default: a GPU if there is one, else the CPU.
            dtype: dtype of the weights; None keeps the checkpoint's own.
            revision: hub revision.
            trust_remote_code: let transformers run code from the hub. Off unless you say so; LLaDA
                and Dream need none, and none of theirs is run.

        Raises:
            ModelError: not found, not a masked diffusion LM, no safetensors; the message says why.
        """
        name = os.fspath(name_or_path)
        source = _resolve(name)
        hub: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        config, family = _load_config(source, hub, name)
        if family.needs_no_code:
            hub["trust_remote_code"] = False
        conventions_file = _conventions_file(source, revision)
        tokenizer = _load_tokenizer(family, source, hub, name)
        conventions = (
            Conventions.read(conventions_file)
            if conventions_file
            else _default_conventions(family, tokenizer, config, name)
        )
        if family.causal_by_default:
            config.is_causal = False
        model = _load_weights(family, source, config, dtype, hub, name)
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model, tokenizer, conventions, name=name).to(where).eval()

    def save_pretrained(self, folder: str | os.PathLike[str], *, dtype: Any = None) -> None:
        """Write weights (safetensors), config, tokenizer and ``diffusion_config.json``.

        Args:
            folder: made if absent.
            dtype: store the weights in this dtype (for example ``torch.float16`` halves the size);
                the model in memory is left as it is.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        model = self.model if dtype is None else copy.deepcopy(self.model).to(dtype)
        model.save_pretrained(path, safe_serialization=True)
        self.tokenizer.save_pretrained(path)
        self.conventions.write(path / FILE_NAME)

    def with_conventions(self, **changes: Any) -> "MaskedDiffusionLM":
        """The same weights under changed conventions, for example after another training."""
        conventions = dataclasses.replace(self.conventions, **changes)
        return MaskedDiffusionLM(self.model, self.tokenizer, conventions, name=self.name)


def _block_mask(allowed: Tensor, config: Any) -> Any:
    """Who sees whom (B, L, L) as transformers takes a ready-made mask: in the form of its kernel.

    It uses such a mask as it is: eager attention adds it to the scores, so False has to become a
    large negative number, and layers with a sliding window need the window cut out of it.
    """

    def prepared(mask: Tensor) -> Tensor:
        mask = mask[:, None]
        if config._attn_implementation != "eager":
            return mask
        additive = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
        return additive.masked_fill(~mask, torch.finfo(torch.float32).min)

    if "sliding_attention" not in (getattr(config, "layer_types", None) or ()):
        return prepared(allowed)
    column = torch.arange(allowed.shape[-1], device=allowed.device)
    near = (column[:, None] - column).abs() <= config.sliding_window
    return {"full_attention": prepared(allowed), "sliding_attention": prepared(allowed & near)}


def _resolve(name: str) -> str:
    if not name.startswith(EMBEDDED_PREFIX):
        # A hub id is NAME or OWNER/NAME: anything else can only have been meant as a folder.
        is_path = name.startswith((".", "/", "~")) or name.count("/") > 1
        if is_path and not Path(name).is_dir():
            raise ModelError(f"cannot open {name!r} as a model: there is no such folder")
        return name
    from promptinfill.models.embedded import embedded_folder

    return str(embedded_folder(name.removeprefix(EMBEDDED_PREFIX)))


def _conventions_file(source: str, revision: str | None) -> Path | None:
    if Path(source).is_dir():
        path = Path(source) / FILE_NAME
        return path if path.is_file() else None
    from transformers.utils.hub import cached_file

    found = cached_file(
        source, FILE_NAME, revision=revision, _raise_exceptions_for_missing_entries=False
    )
    return Path(found) if found else None


def _load_config(source: str, hub: dict[str, Any], name: str) -> tuple[Any, Family]:
    """The config and its family, which is looked up first: it may bring the config's class."""
    from transformers import AutoConfig, PretrainedConfig

    try:
        values, _ = PretrainedConfig.get_config_dict(source, revision=hub["revision"])
        model_type = values.get("model_type")
        family = family_for(model_type, name) if model_type else None
        if family is not None and family.check is not None:
            family.check(name, values)
        trusted = hub["trust_remote_code"] and not (family is not None and family.needs_no_code)
        config = AutoConfig.from_pretrained(source, **hub | {"trust_remote_code": trusted})
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot open {name!r} as a model: {_first_line(error)}") from None
    return config, family or family_for(config.model_type, name)


def _default_conventions(family: Family, tokenizer: Any, config: Any, name: str) -> Conventions:
    """What the family's own checkpoints keep; an ordinary decoder has to be adapted first."""
    if family.conventions is None:
        raise ModelError(
            f"{name}: a {family.name} checkpoint without {FILE_NAME} is an ordinary causal "
            "language model, not a masked diffusion LM; finetune it as one first "
            "(see `promptinfill train --help`)"
        )
    values = family.conventions(tokenizer, config)
    if values["mask_token"] is None:
        raise ModelError(f"{name}: its tokenizer has no mask token, and there is no {FILE_NAME}")
    return Conventions(**values)


def _load_tokenizer(family: Family, source: str, hub: dict[str, Any], name: str) -> Any:
    """The tokenizer; where its config names the generic class, exactly what tokenizer.json says.

    AutoTokenizer would put some model types' own class (Qwen2's) in its place, which splits text
    its own way whatever the file says.
    """
    import transformers
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        declared = get_tokenizer_config(source, **hub).get("tokenizer_class")
        loader: Any = transformers.AutoTokenizer
        if declared in ("TokenizersBackend", "PreTrainedTokenizerFast"):
            loader = transformers.PreTrainedTokenizerFast
        elif family.tokenizer_class is not None:
            loader = getattr(transformers, family.tokenizer_class)
        return loader.from_pretrained(source, **hub)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot open the tokenizer of {name!r}: {_first_line(error)}") from None


def _load_weights(
    family: Family,
    source: str,
    config: Any,
    dtype: torch.dtype | None,
    hub: dict[str, Any],
    name: str,
) -> Any:
    import transformers

    auto_class = getattr(transformers, family.auto_class)
    kwargs: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    try:
        model, loading = auto_class.from_pretrained(
            source, config=config, use_safetensors=True, output_loading_info=True, **kwargs, **hub
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        folder = Path(source)
        if folder.is_dir() and any(folder.glob("*.bin")) and not any(folder.glob("*.safetensors")):
            raise ModelError(
                f"{name}: has only pickled weights (.bin), which are not opened because they can "
                "run code; convert them to safetensors first"
            ) from None
        raise ModelError(f"cannot load the weights of {name!r}: {_first_line(error)}") from None
    if missing := sorted(loading["missing_keys"]):
        raise ModelError(
            f"{name}: {len(missing)} weights of a {config.model_type} with an output layer are not "
            f"in the checkpoint, for example {missing[0]!r}; it is another kind of model"
        )
    return model


def _token_id(tokenizer: Any, token: str, name: str) -> int:
    token_id = tokenizer.convert_tokens_to_ids(token)
    if token_id is None or token_id == tokenizer.unk_token_id or token_id < 0:
        raise ModelError(f"{name}: token {token!r} of {FILE_NAME} is not in the vocabulary")
    return int(token_id)


def _first_id(tokenizer: Any, roles: tuple[str, ...], name: str, what: str) -> int:
    for role in roles:
        token_id = getattr(tokenizer, f"{role}_token_id")
        if token_id is not None:
            return int(token_id)
    raise ModelError(f"{name}: the tokenizer defines no {what} token")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
