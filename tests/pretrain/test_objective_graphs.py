"""What is compiled: one graph, in it attention without a mask, as the fused kernel, and the same loss."""

import shutil
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from tiny_decoders import CONTEXT, END, KINDS, recipe, rows, tiny_module
from trellis.pretrain.objective import NextTokenLoss

CPU = torch.device("cpu")
LAYERS = 2
FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
COMPILE = torch.compile


@pytest.fixture
def compile_with(monkeypatch):
    """compile_with(backend): whatever is compiled from now on, is by this backend."""
    torch._dynamo.reset()

    def use(backend):
        monkeypatch.setattr(torch, "compile", partial(COMPILE, backend=backend))

    yield use
    torch._dynamo.reset()


@pytest.fixture
def graphs(compile_with):
    """The traced graphs, run as they are."""
    traced = []

    def backend(graph, _):
        traced.append(graph)
        return graph.forward

    compile_with(backend)
    return traced


def nodes(graph):
    """All nodes of a graph, also of those within it: what is checkpointed is one of its own."""
    return [node for part in graph.modules() if isinstance(part, torch.fx.GraphModule) for node in part.graph.nodes]


def attentions(graph):
    return [node for node in nodes(graph) if node.target is F.scaled_dot_product_attention]


def squares(graph):
    """Nodes that compute a tensor [..., context, context]."""
    values = [(node, node.meta.get("example_value")) for node in nodes(graph) if node.op != "placeholder"]
    return [node for node, value in values if getattr(value, "shape", ())[-2:] == (CONTEXT, CONTEXT)]


def step(objective, batch):
    value = objective(batch)
    value.backward()
    found = {name: weight.grad.clone() for name, weight in objective.module.named_parameters()}
    objective.zero_grad()
    return value.detach(), found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["layer", "model"])
@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_every_traced_graph_attends_without_a_mask(graphs, kind, mode, checkpointing):
    keys = {"gradient_checkpointing": checkpointing}
    compiled = NextTokenLoss(tiny_module(kind, layers=LAYERS), recipe(compile=mode, **keys), END, CPU)
    plain = NextTokenLoss(tiny_module(kind, layers=LAYERS), recipe(**keys), END, CPU)
    assert list(compiled.module.state_dict()) == list(plain.module.state_dict())
    first = step(compiled, rows())
    assert len(graphs) == 2  # the model, or the layer that all layers share; and the loss of a chunk
    torch.testing.assert_close(first, step(plain, rows()), rtol=0, atol=0)
    step(compiled, rows(seed=1))
    assert len(graphs) == 2
    with torch.no_grad():
        compiled.eval()(rows())
    for graph in graphs:
        assert not squares(graph)
        for node in attentions(graph):
            grouped = kind == "llama"
            wanted = {"attn_mask": None, "is_causal": True, "enable_gqa": grouped}
            assert {key: node.kwargs[key] for key in wanted} == wanted and len(node.args) == 3
    assert [len(attentions(graph)) for graph in graphs] == [LAYERS if mode == "model" else 1, 0] * (len(graphs) // 2)


def test_transformers_own_attention_would_be_seen(graphs):
    """The trap that all this avoids: a mask in every call, made in the graph."""
    torch.compile(tiny_module("llama", layers=LAYERS).base_model)(rows()[:, :-1], use_cache=False)
    assert squares(graphs[0]) and all(node.kwargs["attn_mask"] is not None for node in attentions(graphs[0]))


@pytest.mark.parametrize("mode", ["layer", "model"])
def test_document_masks_are_made_once_outside(graphs, mode):
    compiled = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(compile=mode, document_masks=True), END, CPU)
    plain = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(document_masks=True), END, CPU)
    assert torch.equal(compiled(rows()), plain(rows()))
    assert len(graphs) == 2 and not squares(graphs[0])
    assert {node.kwargs["attn_mask"].op for node in attentions(graphs[0])} == {"placeholder"}


@pytest.mark.parametrize("mode", ["layer", "model"])
def test_other_numbers_of_rows_do_not_compile_without_end(graphs, mode):
    compiled = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(compile=mode), END, CPU)
    plain = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(), END, CPU)
    for count in (4, 3, 7, 2, 6, 5):
        assert torch.equal(compiled(rows(count)), plain(rows(count)))
    assert len(graphs) <= 4


@pytest.mark.parametrize(("kind", "mode"), [("llama", "layer"), ("gpt_neox", "model")])
def test_the_compiled_kernel_is_the_fused_one(compile_with, kind, mode):
    called = []

    def compiler(graph, _):
        called.extend(node.target for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    compile_with(aot_autograd(fw_compiler=compiler))
    NextTokenLoss(tiny_module(kind, layers=LAYERS), recipe(compile=mode), END, CPU)(rows()).backward()
    assert called.count(FUSED) == (LAYERS if mode == "model" else 1)
    assert torch.ops.aten.bmm.default not in called and torch.ops.aten._softmax.default not in called


def test_recomputation_saves_memory_in_compiled_graphs_too(compile_with):
    def saved(checkpointing):
        torch._dynamo.reset()
        keys = {"compile": "layer", "gradient_checkpointing": checkpointing}
        objective, sizes = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(**keys), END, CPU), {}

        def pack(tensor):
            sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = objective(rows())
        return sum(sizes.values()), step(objective, rows()), value

    compile_with("aot_eager_decomp_partition")
    none, selective, full = (saved(mode) for mode in ("none", "selective", "full"))
    assert full[0] < selective[0] <= none[0]
    torch.testing.assert_close(selective[1], none[1])
    torch.testing.assert_close(full[1], none[1])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_inductor_computes_the_same(compile_with):
    compile_with("inductor")
    keys = {"compile": "layer", "gradient_checkpointing": "selective"}
    plain = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(), END, CPU)
    compiled = NextTokenLoss(tiny_module("llama", layers=LAYERS), recipe(**keys), END, CPU)
    torch.testing.assert_close(step(compiled, rows()), step(plain, rows()), rtol=1e-3, atol=1e-5)
