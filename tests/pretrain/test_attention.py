"""Attention runs as the one pinned kernel, gives what attention should, and says where it cannot."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

from allocations import Allocations
from tiny_decoders import CONTEXT, END, recipe, tiny_module
from trellis.errors import TrellisError
from trellis.pretrain import attention
from trellis.pretrain.attention import attend, document_mask, kernel, require_kernel

CPU = torch.device("cpu")


def heads(count, shared, context=CONTEXT, width=8):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, n, context, width, generator=generator) for n in (count, shared, shared)]


def by_hand(query, key, value, visible):
    """Attention [rows, context, heads, width] where `visible` [rows, context, context], in float64."""
    query, key, value = query.double(), key.double(), value.double()
    groups = query.shape[1] // key.shape[1]
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key.repeat_interleave(groups, 1)) / math.sqrt(query.shape[-1])
    scores[~visible[:, None].expand_as(scores)] = -math.inf
    return torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), value.repeat_interleave(groups, 1))


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_every_token_sees_itself_and_those_before_it(shared):
    query, key, value = heads(4, shared)
    visible = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril().expand(2, -1, -1)
    output, weights = attend(None, query, key, value, None)
    assert weights is None
    torch.testing.assert_close(output, by_hand(query, key, value, visible).float())


@pytest.mark.parametrize("shared", [4, 2])
def test_with_a_document_mask_only_those_of_its_own_document(shared):
    query, key, value = heads(4, shared, context=6)
    inputs = torch.tensor([[7, 8, END, 9, 9, END], [END, END, 1, 2, 3, 4]])
    document = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 2, 2, 2, 2]])
    visible = torch.ones(6, 6, dtype=torch.bool).tril() & (document[:, :, None] == document[:, None, :])
    mask = document_mask(inputs, END, torch.float32)
    assert mask.shape == (2, 1, 6, 6)
    assert torch.equal(mask[:, 0] == 0, visible) and torch.equal(mask[:, 0] == -math.inf, ~visible)
    output, _ = attend(None, query, key, value, mask)
    torch.testing.assert_close(output, by_hand(query, key, value, visible).float())


@pytest.mark.parametrize("shared", [4, 2])
def test_the_square_of_scores_is_never_held(shared):
    query, key, value = (tensor.requires_grad_() for tensor in heads(4, shared, context=100))
    with Allocations() as made:
        attend(None, query, key, value, None)[0].sum().backward()
    assert not [shape for shape in made.shapes if shape[-2:] == (100, 100)]


@pytest.mark.parametrize(
    ("device", "masked", "mixed", "expected"),
    [
        ("cuda", False, True, SDPBackend.FLASH_ATTENTION),
        ("cuda", True, True, SDPBackend.EFFICIENT_ATTENTION),
        ("cuda", False, False, SDPBackend.EFFICIENT_ATTENTION),
        ("cpu", True, False, SDPBackend.FLASH_ATTENTION),
    ],
)
def test_the_kernel_is_flash_wherever_there_is_one(monkeypatch, device, masked, mixed, expected):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: mixed)
    assert kernel(device, masked) == expected


@pytest.fixture
def calls(monkeypatch):
    """What is asked of torch's attention."""
    made, real = [], F.scaled_dot_product_attention

    def recorded(query, key, value, **named):
        made.append({"shapes": [tuple(tensor.shape) for tensor in (query, key, value)], **named})
        return real(query, key, value, **named)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded)
    return made


def test_a_kernel_without_groups_gets_as_many_keys_as_queries(monkeypatch, calls):
    expected, _ = attend(None, *heads(4, 2), None)
    assert calls[0]["enable_gqa"] and calls[0]["shapes"][1] == (2, 2, CONTEXT, 8)
    monkeypatch.setattr(attention, "kernel", lambda *_: SDPBackend.EFFICIENT_ATTENTION)
    monkeypatch.setattr(attention, "sdpa_kernel", lambda _: torch.no_grad())  # the processor has no such kernel
    output, _ = attend(None, *heads(4, 2), None)
    assert not calls[1]["enable_gqa"] and calls[1]["shapes"][1] == (2, 4, CONTEXT, 8)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(("kind", "shared"), [("llama", 2), ("gpt_neox", 4)])
@pytest.mark.parametrize("masks", [False, True])
def test_the_probe_has_the_shapes_of_training(calls, kind, shared, masks):
    require_kernel(tiny_module(kind).config, recipe(micro_batch=3, document_masks=masks), CPU)
    assert calls[0]["shapes"] == [(3, 4, CONTEXT, 8), (3, shared, CONTEXT, 8), (3, shared, CONTEXT, 8)]
    assert calls[0]["is_causal"] is not masks and (calls[0]["attn_mask"] is not None) is masks


def test_where_there_is_no_such_kernel_one_sentence_says_so_and_no_other_is_taken(monkeypatch):
    monkeypatch.setattr(attention, "kernel", lambda *_: SDPBackend.EFFICIENT_ATTENTION)
    with pytest.raises(RuntimeError, match="No viable backend"):
        attend(None, *heads(4, 4), None)
    sentence = "the processor has no fused attention kernel for 4 heads of width 8 over 20 tokens in float32 .No viable"
    with pytest.raises(TrellisError, match=sentence):
        require_kernel(tiny_module("llama").config, recipe(), CPU)


def test_a_full_memory_is_not_taken_for_a_missing_kernel(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(F, "scaled_dot_product_attention", full)
    with pytest.raises(torch.OutOfMemoryError):
        require_kernel(tiny_module("llama").config, recipe(), CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("keys", [{"precision": "bfloat16"}, {"precision": "bfloat16", "document_masks": True}, {}])
def test_a_gpu_runs_the_pinned_kernel(keys):
    device, config = torch.device("cuda"), tiny_module("llama", hidden_size=128, context=128).config
    with torch.profiler.profile() as profile:
        require_kernel(config, recipe(context=128, **keys), device)
    names = " ".join(event.key for event in profile.key_averages())
    flash = keys == {"precision": "bfloat16"}
    assert ("_scaled_dot_product_flash_attention" in names) is flash
    assert ("_scaled_dot_product_efficient_attention" in names) is not flash
