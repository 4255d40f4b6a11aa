"""MaskedDiffusionLM over each family: the same numbers whatever the batch, and clear refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    DECODERS,
    FAMILIES,
    bpe_tokenizer,
    save_dlm,
    tiny_dlm,
    tiny_model,
    weights,
    word_tokenizer,
    wordpiece_tokenizer,
)
from promptinfill.errors import ModelError
from promptinfill.models import embedded
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.conventions import FILE_NAME, Conventions

KERNELS = ("sdpa", "eager")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models() -> dict[str, MaskedDiffusionLM]:
    """One random model of each family, never changed."""
    return {family: tiny_dlm(family) for family in FAMILIES}


def tokens(*lengths: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(10, 250, (n,), generator=generator) for n in lengths]


def kernel(dlm: MaskedDiffusionLM, name: str) -> MaskedDiffusionLM:
    dlm.model.set_attn_implementation(name)
    return dlm


@torch.no_grad()
def alone(dlm: MaskedDiffusionLM, row: Tensor) -> Tensor:
    return dlm.hidden(row[None])[0]


# --- saving and opening -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_opens_bit_for_bit(family: str, tmp_path: Path):
    rules = {"logits_shift": 1, "policy": {"mixture": {"full_sequence": 1}}, "bos": True}
    rules["suppressed_tokens"] = ("a", "b")
    before = tiny_dlm(family, conventions=rules)
    before.save_pretrained(tmp_path / "model")
    after = MaskedDiffusionLM.from_pretrained(tmp_path / "model", device="cpu")
    assert after.conventions == before.conventions
    assert after.name == str(tmp_path / "model")
    assert not after.model.training
    expected, found = weights(before), weights(after)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    text = "Write the letter <mask> naïve"
    assert after.tokenizer(text)["input_ids"] == before.tokenizer(text)["input_ids"]
    (row,) = tokens(9)
    with torch.no_grad():
        assert torch.equal(after.logits(row[None]), before.logits(row[None]))


def test_only_safetensors_are_written(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", FILE_NAME} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_saving_in_half_precision_leaves_the_model_alone(tmp_path: Path):
    dlm = tiny_dlm("llama")
    before = weights(dlm)
    dlm.save_pretrained(tmp_path, dtype=torch.float16)
    assert all(torch.equal(value, before[name]) for name, value in weights(dlm).items())
    kept = MaskedDiffusionLM.from_pretrained(tmp_path, device="cpu", dtype=None)
    assert next(kept.model.parameters()).dtype == torch.float16
    default = MaskedDiffusionLM.from_pretrained(tmp_path, device="cpu")
    for name, value in weights(default).items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name].half().float()), name


def test_an_encoder_without_conventions_is_a_masked_lm_already(tmp_path: Path):
    save_dlm(tmp_path, "bert", tokenizer=wordpiece_tokenizer())
    (tmp_path / FILE_NAME).unlink()
    dlm = MaskedDiffusionLM.from_pretrained(tmp_path, device="cpu")
    assert dlm.conventions.mask_token == "[MASK]"
    assert dlm.conventions.eos_padding is False
    assert dlm.mask_token_id == dlm.tokenizer.mask_token_id
    # BERT has no BOS and EOS: its CLS and SEP take their places.
    assert dlm.bos_token_id == dlm.tokenizer.cls_token_id
    assert dlm.eos_token_id == dlm.tokenizer.sep_token_id


def test_with_conventions_shares_the_weights():
    dlm = tiny_dlm("llama")
    shifted = dlm.with_conventions(logits_shift=1)
    assert shifted.conventions.logits_shift == 1
    assert dlm.conventions.logits_shift == 0
    assert shifted.model is dlm.model


# --- hidden states and logits -----------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shift", [0, 1])
def test_logits_at_are_the_full_logits_there(
    family: str, shift: int, models: dict[str, MaskedDiffusionLM]
):
    dlm = models[family].with_conventions(logits_shift=shift)
    rows = torch.stack(tokens(10, 10, 10))
    attention = torch.arange(10) < torch.tensor([10, 6, 8])[:, None]
    positions = torch.rand(rows.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    positions[:, 0] = shift == 0
    positions[:, 5] = True
    with torch.no_grad():
        for mask, asked in ((None, positions), (attention, positions & attention)):
            full = dlm.logits(rows, mask)
            assert full.shape == (3, 10, dlm.vocab_size)
            chosen = dlm.logits_at(dlm.hidden(rows, mask), asked)
            assert chosen.shape == (int(asked.sum()), dlm.vocab_size)
            torch.testing.assert_close(chosen, full[asked])
            whole_model = dlm.model(input_ids=rows, attention_mask=mask).logits
            if shift:
                torch.testing.assert_close(full[:, 1:], whole_model[:, :-1])
                assert not full[:, 0].any()
            else:
                torch.testing.assert_close(full, whole_model)


def test_shifted_logits_read_one_before_and_refuse_the_first(models: dict[str, MaskedDiffusionLM]):
    dlm = models["qwen2"].with_conventions(logits_shift=1)
    hidden = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))
    positions = torch.zeros(2, 4, dtype=torch.bool)
    positions[0, 3] = positions[1, 1] = True
    expected = dlm.model.lm_head(torch.stack([hidden[0, 2], hidden[1, 0]]))
    torch.testing.assert_close(dlm.logits_at(hidden, positions), expected)
    positions[1, 0] = True
    with pytest.raises(ModelError, match=r"shifted by one.*first token.*BOS"):
        dlm.logits_at(hidden, positions)


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_nothing(family: str, attention: str):
    dlm = kernel(tiny_dlm(family), attention)
    rows = tokens(12, 5, 9)
    padded = torch.full((3, 16), dlm.pad_token_id)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    mask = torch.arange(16) < torch.tensor([[12], [5], [9]])
    with torch.no_grad():
        together = dlm.hidden(padded, mask)
        padded[~mask] = 77  # whatever stands there
        other = dlm.hidden(padded, mask)
    for i, row in enumerate(rows):
        torch.testing.assert_close(together[i, : len(row)], alone(dlm, row), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other[i, : len(row)], together[i, : len(row)])


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_sequences_are_separate_sequences(family: str, attention: str):
    """With eager attention and with sliding windows too, where a ready-made mask is delicate."""
    dlm = kernel(tiny_dlm(family), attention)
    first, second, third = tokens(7, 11, 14)
    rows = torch.full((2, 20), dlm.pad_token_id)
    sequence = torch.full((2, 20), -1)
    position = torch.zeros(2, 20, dtype=torch.int64)
    for row, start, number, ids in ((0, 0, 0, first), (0, 7, 1, second), (1, 0, 0, third)):
        span = slice(start, start + len(ids))
        rows[row, span], sequence[row, span] = ids, number
        position[row, span] = torch.arange(len(ids))
    same = sequence[:, :, None] == sequence[:, None, :]
    with torch.no_grad():
        packed = dlm.hidden(rows, same, position)
    assert packed.isfinite().all()
    found = [packed[0, :7], packed[0, 7:18], packed[1, :14]]
    for hidden, ids in zip(found, (first, second, third), strict=True):
        torch.testing.assert_close(hidden, alone(dlm, ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_later_token_changes_what_stands_before(family: str, attention: str):
    dlm = kernel(tiny_dlm(family), attention)
    (row,) = tokens(4)
    other = row.clone()
    other[-1] += 1
    for mask in (None, torch.ones(1, 4, dtype=torch.bool)):
        with torch.no_grad():
            change = (dlm.hidden(row[None], mask) - dlm.hidden(other[None], mask))[0, 0]
        assert change.abs().max() > 1e-2


@pytest.mark.parametrize("family", DECODERS)
def test_the_same_weights_read_causally_differ(family: str):
    """The control: without ``is_causal = False`` a decoder does not see what comes later."""
    dlm = tiny_dlm(family)
    causal = tiny_model(family, dlm.tokenizer)
    causal.load_state_dict(dlm.model.state_dict())
    causal.config.is_causal = True
    (row,) = tokens(6)
    other = row.clone()
    other[-1] += 1
    with torch.no_grad():
        one, two = (causal.eval()(input_ids=x[None]).logits for x in (row, other))
        torch.testing.assert_close(one[:, :-1], two[:, :-1])
        assert (dlm.logits(row[None]) - one).abs().max() > 1e-2


# --- tokens -----------------------------------------------------------------------------------


def test_suppressed_tokens_are_the_mask_the_specials_and_the_listed():
    dlm = tiny_dlm("llama", vocab_size=400, conventions={"suppressed_tokens": ("x", "Ġthe")})
    names = ["<pad>", "<bos>", "<mask>", "x", "Ġthe"]
    expected = {dlm.tokenizer.convert_tokens_to_ids(name) for name in names}
    expected |= set(range(len(dlm.tokenizer), 400))  # rows without a token
    assert dlm.suppressed.shape == (400,)
    assert set(dlm.suppressed.nonzero().flatten().tolist()) == expected
    assert not dlm.suppressed[dlm.eos_token_id]


def test_a_tokenizer_without_pad_pads_with_eos():
    tokenizer = bpe_tokenizer()
    tokenizer.pad_token = None
    dlm = tiny_dlm("llama", tokenizer, pad_token_id=None)
    assert dlm.pad_token_id == dlm.eos_token_id
    assert not dlm.suppressed[dlm.eos_token_id]


def test_no_bos_where_the_conventions_say_so():
    assert tiny_dlm("llama").bos_token_id == word_tokenizer().bos_token_id
    assert tiny_dlm("llama", conventions={"bos": False}).bos_token_id is None


# --- refusals ---------------------------------------------------------------------------------


def refused(source: str | Path, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        MaskedDiffusionLM.from_pretrained(source, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_nothing_there(tmp_path: Path):
    refused(tmp_path / "absent", "cannot open", str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "cannot open", str(tmp_path / "empty"))
    refused("nobody/no-such-model", "cannot open 'nobody/no-such-model'")


def test_an_unknown_model_type_lists_the_known(tmp_path: Path):
    save_dlm(tmp_path)
    edit_config(tmp_path, model_type="gpt2")
    refused(tmp_path, str(tmp_path), "'gpt2'", "bert, llada, llama, modernbert, qwen2, qwen3")
    edit_config(tmp_path, model_type="no_such_type")
    refused(tmp_path, str(tmp_path), "no_such_type")


@pytest.mark.parametrize("family", DECODERS)
def test_a_causal_decoder_is_not_a_diffusion_model(family: str, tmp_path: Path):
    save_dlm(tmp_path, family)
    (tmp_path / FILE_NAME).unlink()
    refused(tmp_path, str(tmp_path), FILE_NAME, "ordinary causal language model", "finetune")


def test_a_causal_model_in_memory_is_refused():
    tokenizer = word_tokenizer()
    model = tiny_model("llama", tokenizer)
    del model.config.is_causal
    with pytest.raises(ModelError, match=r"mine: .*is_causal = False"):
        MaskedDiffusionLM(model, tokenizer, Conventions(mask_token="<mask>"), name="mine")


def test_pickled_weights_are_not_opened(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_dlm("bert").model.state_dict(), tmp_path / "pytorch_model.bin")
    refused(tmp_path, str(tmp_path), ".bin", "safetensors")


def test_no_weights_and_broken_weights(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    refused(tmp_path, "cannot load the weights", str(tmp_path))
    path.unlink()
    refused(tmp_path, "cannot load the weights", str(tmp_path))


def test_weights_of_another_shape(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    edit_config(tmp_path, hidden_size=64)
    refused(tmp_path, "cannot load the weights", str(tmp_path))


def test_a_trunk_without_its_output_layer_is_not_filled_with_noise(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    tiny_dlm("bert").model.bert.save_pretrained(tmp_path)
    refused(tmp_path, str(tmp_path), "not in the checkpoint", "cls.predictions")


def test_no_tokenizer(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    refused(tmp_path, str(tmp_path))


def test_a_slow_tokenizer_has_no_offsets():
    class Slow:
        is_fast = False

    model = tiny_model("bert", word_tokenizer())
    with pytest.raises(ModelError, match="mine: needs a fast tokenizer"):
        MaskedDiffusionLM(model, Slow(), Conventions(mask_token="<mask>"), name="mine")


@pytest.mark.parametrize("rules", [{"mask_token": "<no>"}, {"suppressed_tokens": ["<no>"]}])
def test_a_token_outside_the_vocabulary(rules: dict[str, Any], tmp_path: Path):
    save_dlm(tmp_path, "bert", tokenizer=wordpiece_tokenizer())
    (tmp_path / FILE_NAME).write_text(json.dumps({"mask_token": "[MASK]"} | rules))
    with pytest.raises(ModelError, match=r"'<no>' of diffusion_config.json is not in the voc"):
        _ = MaskedDiffusionLM.from_pretrained(tmp_path, device="cpu").suppressed


def test_an_encoder_without_a_mask_token(tmp_path: Path):
    save_dlm(tmp_path, "bert")
    (tmp_path / FILE_NAME).unlink()
    tokenizer = word_tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path)
    refused(tmp_path, str(tmp_path), "no mask token", FILE_NAME)


def test_a_tokenizer_without_eos_or_bos():
    for role in ("eos", "bos"):
        tokenizer = word_tokenizer()
        setattr(tokenizer, f"{role}_token", None)
        with pytest.raises(ModelError, match=f"defines no {role.upper()} token"):
            tiny_dlm("llama", tokenizer, pad_token_id=0)


def test_an_unknown_embedded_model_lists_the_known(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(embedded, "_FOLDER", tmp_path)
    refused("embedded:nosuch", "'nosuch'", "known: none")
    save_dlm(tmp_path / "one", "bert")
    (tmp_path / "names.json").write_text(json.dumps({"best": "one", "one": "one"}))
    refused("embedded:nosuch", "'nosuch'", "embedded:best, embedded:one")
    opened = MaskedDiffusionLM.from_pretrained("embedded:best", device="cpu")
    assert opened.name == "embedded:best"
