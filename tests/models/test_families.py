"""LLaDA and Dream from folders in their authors' format, RoBERTa, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from official import ROWS, SAVE, reference_logits
from safetensors.torch import load_file

from helpers import tiny_dlm, wordpiece_tokenizer
from promptinfill import Template, exact_match, infill
from promptinfill.diffusion.sampling import ORDERS
from promptinfill.errors import ModelError
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import FILE_NAME

OFFICIAL = ("llada", "dream")
WORDS = ("apple", "bread", "chair", "dog", "egg", "fish", "goat", "hat", "ink", "jar")
ROWS_OF = [{"input": word, "output": word[0]} for word in WORDS]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("official")
    return {name: SAVE[name](root / name) for name in OFFICIAL}


@pytest.fixture(scope="module")
def opened(folders: dict[str, Path]) -> dict[str, MaskedDiffusionLM]:
    return {
        name: MaskedDiffusionLM.from_pretrained(folder, device="cpu")
        for name, folder in folders.items()
    }


def expected_logits(name: str, folder: Path, ids: torch.Tensor, **how: Any) -> torch.Tensor:
    """The published equations' prediction for each position: Dream's is read one token earlier."""
    found = reference_logits(folder, ids, **how)
    if name == "dream":
        found = torch.cat([torch.zeros_like(found[:1]), found[:-1]])
    return found


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_forward_is_the_published_equations(
    name: str, kernel: str, folders: dict[str, Path], opened: dict[str, MaskedDiffusionLM]
):
    dlm = opened[name]
    dlm.model.set_attn_implementation(kernel)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, ROWS, (n,), generator=generator) for n in (13, 6, 9)]
    dlm.double()
    try:
        expected = [expected_logits(name, folders[name], row) for row in rows]
        for row, logits in zip(rows, expected, strict=True):
            torch.testing.assert_close(dlm.logits(row[None])[0], logits, rtol=1e-5, atol=1e-5)
        padded = torch.full((3, 16), dlm.pad_token_id)
        mask = torch.arange(16) < torch.tensor([[13], [6], [9]])
        padded[mask] = torch.cat(rows)
        together = dlm.logits(padded, mask)
        for found, row, logits in zip(together, rows, expected, strict=True):
            torch.testing.assert_close(found[: len(row)], logits, rtol=1e-5, atol=1e-5)
        causal = expected_logits(name, folders[name], rows[0], causal=True)
        assert (causal - expected[0]).abs().max() > 0.1  # the control
    finally:
        dlm.float()
    single = dlm.logits(rows[0][None])[0].double()
    torch.testing.assert_close(single, expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OFFICIAL)
def test_saved_under_its_own_names_and_opened_bit_for_bit(
    name: str, folders: dict[str, Path], opened: dict[str, MaskedDiffusionLM], tmp_path: Path
):
    dlm = opened[name]
    dlm.save_pretrained(tmp_path)
    before = load_file(folders[name] / "model.safetensors")
    after = load_file(tmp_path / "model.safetensors")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    official = json.loads((folders[name] / "config.json").read_text())
    saved = json.loads((tmp_path / "config.json").read_text())
    for key, value in official.items():
        if key != "auto_map":
            assert saved[key] == value, key
    assert all("--" in code for code in saved["auto_map"].values())  # code stays where it is
    again = MaskedDiffusionLM.from_pretrained(tmp_path, device="cpu")
    assert again.conventions == dlm.conventions
    text = "Write the first letter.<|im_end|><|eot_id|>"
    assert again.tokenizer(text).input_ids == dlm.tokenizer(text).input_ids
    for key, value in dlm.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)


@pytest.mark.parametrize("name", OFFICIAL)
def test_remote_code_is_not_run_even_when_allowed(name: str, folders: dict[str, Path]):
    """The folder's auto_map names files that are not there: asking for them would fail."""
    dlm = MaskedDiffusionLM.from_pretrained(folders[name], device="cpu", trust_remote_code=True)
    assert type(dlm.model).__module__.startswith("promptinfill.")


def test_conventions_come_with_the_family(opened: dict[str, MaskedDiffusionLM]):
    llada, dream = opened["llada"].conventions, opened["dream"].conventions
    assert (llada.mask_token, llada.logits_shift) == ("<|mdm_mask|>", 0)
    assert (dream.mask_token, dream.logits_shift) == ("<|mask|>", 1)
    assert llada.end_tokens == ("<|eot_id|>",)
    assert dream.end_tokens == ("<|im_end|>",)
    assert llada.bos
    assert dream.bos
    for dlm in opened.values():
        assert dlm.max_length == 256
        assert dlm.vocab_size == ROWS
        assert dlm.pad_token_id == dlm.eos_token_id
        assert dlm.mask_token_id not in (dlm.eos_token_id, dlm.bos_token_id)


@pytest.mark.parametrize("name", OFFICIAL)
def test_padding_that_is_eos_leaves_eos_its_gradient(
    name: str, opened: dict[str, MaskedDiffusionLM]
):
    dlm = opened[name]
    ids = torch.tensor([[5, dlm.eos_token_id, 9, 11]])
    weight = dlm.model.get_input_embeddings().weight
    (gradient,) = torch.autograd.grad(dlm.hidden(ids).square().sum(), weight)
    assert gradient[dlm.eos_token_id].abs().max() > 0


@pytest.mark.parametrize("name", OFFICIAL)
def test_markers_and_undefined_ids_never_come_out(name: str, opened: dict[str, MaskedDiffusionLM]):
    dlm = opened[name]
    allowed = set((~dlm.suppressed).nonzero().flatten().tolist())
    added = set(dlm.tokenizer.added_tokens_decoder)
    assert allowed & added == set(dlm.end_token_ids)
    assert max(allowed) < len(dlm.tokenizer) < ROWS
    assert dlm.mask_token_id not in allowed


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", OFFICIAL)
def test_a_template_is_infilled(name: str, order: str, opened: dict[str, MaskedDiffusionLM]):
    """Random weights write nonsense, yet into the holes alone and in ordinary tokens."""
    dlm = opened[name]
    template = Template("[MASK:4] now.\nInput: {input}\nOutput: {output}", response="output")
    result = infill(
        template,
        ROWS_OF[:4],
        dlm=dlm,
        validation=ROWS_OF[4:6],
        metric=exact_match,
        candidates=6,
        options=InfillOptions(order=order, examples=2, temperatures=(1.0,)),
    )
    for candidate in result.candidates:
        assert candidate.prompt.endswith(" now.\nInput: {input}\nOutput: {output}")
        for token in dlm.tokenizer.added_tokens_decoder.values():
            assert token.content not in candidate.fillings[0]


def test_an_answer_ends_at_the_end_of_the_turn(opened: dict[str, MaskedDiffusionLM]):
    from promptinfill.targets.diffusion import DiffusionTarget

    dlm = opened["llada"]
    target = DiffusionTarget(dlm)
    (letter,) = dlm.tokenizer("x", add_special_tokens=False).input_ids
    for end in dlm.end_token_ids:
        assert target._text([letter, end, letter]) == "x"


# --- RoBERTa ----------------------------------------------------------------------------------


@torch.no_grad()
def test_roberta_numbers_positions_behind_its_padding():
    from transformers import RobertaConfig, RobertaForMaskedLM

    from promptinfill.models.conventions import Conventions

    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=66,
        pad_token_id=1,
        initializer_range=0.3,
    )
    model = RobertaForMaskedLM(config)
    dlm = MaskedDiffusionLM(model, tokenizer, Conventions(mask_token="[MASK]")).eval()
    assert dlm.max_length == 64
    rows = torch.randint(5, len(tokenizer), (2, 64), generator=torch.Generator().manual_seed(0))
    expected = dlm.model(input_ids=rows).logits
    torch.testing.assert_close(dlm.logits(rows), expected)
    packed = dlm.hidden(rows, position_ids=torch.arange(64).expand(2, 64))
    torch.testing.assert_close(dlm.family.head(model, packed), expected)


# --- refusals ---------------------------------------------------------------------------------


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        MaskedDiffusionLM.from_pretrained(folder, device="cpu")
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("block_type", "sequential"), ("alibi", True), ("scale_logits", True)]
)
def test_a_llada_that_is_no_llama_is_refused(name: str, value: Any, tmp_path: Path):
    SAVE["llada"](tmp_path, **{name: value})
    refused(tmp_path, str(tmp_path), f"{name} = {value!r}", "only")


@pytest.mark.parametrize("model_type", ["llada2_moe", "sdar"])
def test_block_causal_models_are_refused_with_the_reason(model_type: str, tmp_path: Path):
    SAVE["llada"](tmp_path, model_type=model_type)
    refused(tmp_path, model_type, "block-causally", "a hole cannot see the blocks after it")


def test_an_unknown_type_tells_how_to_register_one(tmp_path: Path):
    SAVE["llada"](tmp_path, model_type="brand_new")
    refused(tmp_path, "'brand_new'", "Dream, bert, llada, llama", "register_family")


def test_end_tokens_are_checked(tmp_path: Path):
    tiny_dlm("llama").save_pretrained(tmp_path)
    (tmp_path / FILE_NAME).write_text(json.dumps({"mask_token": "<mask>", "end_tokens": "x"}))
    refused(tmp_path, "end_tokens must be a list")
    (tmp_path / FILE_NAME).write_text(json.dumps({"mask_token": "<mask>", "end_tokens": ["<no>"]}))
    refused(tmp_path, "'<no>'", "not in the vocabulary")
