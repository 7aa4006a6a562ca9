"""The chunked loss: that of full logits, without ever holding them."""

import math

import pytest
import torch
import torch.nn.functional as F

from allocations import Allocations
from trellis.pretrain import loss
from trellis.pretrain.loss import linear_cross_entropy

TOKENS, WIDTH, VOCABULARY = 300, 32, 1000


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setitem(loss.CHUNK, "cpu", 64)


def example(dtype=torch.float32, tokens=TOKENS):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=generator, dtype=dtype)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype) / math.sqrt(WIDTH)
    return hidden, weight, torch.randint(0, VOCABULARY, (tokens,), generator=generator)


def differentiated(function, *inputs):
    """The mean loss, and its gradients."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    mean = function(*inputs) / len(inputs[0])
    mean.backward()
    return mean.detach(), *(tensor.grad for tensor in inputs)


def reference(hidden, weight, targets):
    """From full logits in float64."""
    return differentiated(
        lambda h, w: F.cross_entropy(h @ w.T, targets, reduction="sum"),
        *(tensor.detach().double() for tensor in (hidden, weight)),
    )


def error(ours, exact):
    return ((ours.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 300])
def test_loss_and_gradients_are_those_of_full_logits(tokens):
    hidden, weight, targets = example(tokens=tokens)
    ours = differentiated(lambda h, w: linear_cross_entropy(h, w, targets, torch.float32), hidden, weight)
    assert [tensor.dtype for tensor in ours] == [torch.float32] * 3
    assert max(error(*pair) for pair in zip(ours, reference(hidden, weight, targets), strict=True)) < 1e-6


def test_gradcheck(monkeypatch):
    monkeypatch.setitem(loss.CHUNK, "cpu", 3)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 9, (7,), generator=generator)
    assert torch.autograd.gradcheck(lambda h, w: linear_cross_entropy(h, w, targets, torch.float64), (hidden, weight))


def test_in_bfloat16_only_the_products_are_rounded():
    """As exact as full logits in bfloat16 with a float32 softmax; a loss in bfloat16 would be wrong in its second decimal."""
    hidden, weight, targets = example()
    exact = reference(hidden, weight, targets)
    ours = differentiated(lambda h, w: linear_cross_entropy(h, w, targets, torch.bfloat16), hidden, weight)
    full = differentiated(
        lambda h, w: F.cross_entropy((h.bfloat16() @ w.bfloat16().T).float(), targets, reduction="sum"), hidden, weight
    )
    assert [tensor.dtype for tensor in ours] == [torch.float32] * 3
    assert abs(ours[0] - exact[0]) < 1e-3
    for mine, whole, best in zip(ours[1:], full[1:], exact[1:], strict=True):
        assert error(mine, best) < 4e-3
        assert error(mine, best) < 1.05 * error(whole, best)


def test_the_weights_gradient_is_summed_in_float32_over_any_number_of_chunks(monkeypatch):
    """Of 600 chunks a bfloat16 sum would lose most of what comes late: an error of several per cent."""
    monkeypatch.setitem(loss.CHUNK, "cpu", 1)
    hidden, weight, targets = example(tokens=600)
    _, _, ours = differentiated(lambda h, w: linear_cross_entropy(h, w, targets, torch.bfloat16), hidden, weight)
    assert error(ours, reference(hidden, weight, targets)[2]) < 4e-3


def test_without_gradients_none_are_computed():
    hidden, weight, targets = example()
    weight.requires_grad_()
    with torch.no_grad(), Allocations() as made:
        value = linear_cross_entropy(hidden, weight, targets, torch.float32)
    assert not value.requires_grad
    assert value.item() / TOKENS == pytest.approx(reference(hidden, weight, targets)[0].item(), rel=1e-6)
    assert (VOCABULARY, WIDTH) not in made.shapes and (TOKENS, WIDTH) not in made.shapes


def test_logits_are_never_whole():
    tokens = 1900
    hidden, weight, targets = example(tokens=tokens)
    for tensor in (hidden, weight):
        tensor.requires_grad_()
    with Allocations() as made:
        linear_cross_entropy(hidden, weight, targets, torch.bfloat16).backward()
    assert max(map(math.prod, made.shapes)) == loss.CHUNK["cpu"] * VOCABULARY
    assert made.peak < 4 * tokens * VOCABULARY / 4  # bytes of float32


def test_the_chunk_step_compiles_to_one_graph_and_changes_nothing():
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    step = torch.compile(loss.chunk_loss, backend=backend, fullgraph=True)
    hidden, weight, targets = example(tokens=256)
    plain = differentiated(lambda h, w: linear_cross_entropy(h, w, targets, torch.float32), hidden, weight)
    compiled = differentiated(lambda h, w: linear_cross_entropy(h, w, targets, torch.float32, step), hidden, weight)
    assert all(torch.equal(*pair) for pair in zip(plain, compiled, strict=True))
    assert len(graphs) == 1
