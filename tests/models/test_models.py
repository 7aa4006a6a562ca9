"""Parameter counts and FLOPs: the arithmetic agrees with the modules, and both with the published figures."""

import math

import pytest
import torch
from torch.utils.checkpoint import set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from tiny_decoders import END, KINDS, recipe, tiny, tiny_module
from trellis.experiment.models import GptNeox, Llama
from trellis.models.build import configuration
from trellis.models.size import hardware_flops, parameters, training_flops
from trellis.pretrain.objective import NextTokenLoss

STUDY = Llama(
    kind="llama", mixture="m",
    hidden_size=1280, intermediate_size=2816, layers=24, heads=20, kv_heads=10, parameters=506_328_320
)  # fmt: skip
PYTHIA_410M = GptNeox(
    kind="gpt_neox", mixture="m", hidden_size=1024, intermediate_size=4096, layers=24, heads=16, parameters=405_334_016
)  # fmt: skip
PYTHIA_1B = GptNeox(
    kind="gpt_neox", mixture="m", hidden_size=2048, intermediate_size=8192, layers=16, heads=8, parameters=1_011_781_632
)  # fmt: skip


@pytest.mark.parametrize("model", [STUDY, PYTHIA_410M, PYTHIA_1B], ids=["trellis-506m", "pythia-410m", "pythia-1b"])
def test_the_studys_models_have_their_published_parameters(model):
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(configuration(model, 50_304, 2048, 0))
    assert sum(weight.numel() for weight in module.parameters()) == model.parameters == parameters(model, 50_304)


def test_flops_of_the_study():
    """The figures of the study's own arithmetic: 3.029 GFLOP a token, 3.910 with every block computed twice."""
    assert training_flops(STUDY, 50_304, 2048) == pytest.approx(3.029e9, rel=2e-4)
    assert hardware_flops(STUDY, 50_304, 2048, "full") == pytest.approx(3.910e9, rel=2e-4)
    for mode in ("none", "selective"):
        assert hardware_flops(STUDY, 50_304, 2048, mode) == training_flops(STUDY, 50_304, 2048)


def causal(factor):
    """FLOPs of an attention kernel by the causal convention, `factor` times its forward pass: two products of half the
    square; from the shapes of the queries, or of their output's gradient, [rows, heads, context, width]."""
    return lambda shape, *_, **__: factor * 2 * math.prod(shape) * shape[2]


KERNELS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: causal(1),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: causal(2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["none", "selective", "full"])
def test_flops_agree_with_a_counter_on_a_real_step(kind, mode):
    """To the last FLOP, but that torch, when it has recomputed all that the backward pass reads, leaves out each block's
    last matrix product."""
    context = 128
    model = tiny(kind, 512, hidden_size=64, intermediate_size=96)
    module = tiny_module(kind, 512, context, hidden_size=64, intermediate_size=96)
    ours = NextTokenLoss(module, recipe(context, gradient_checkpointing=mode), 0, torch.device("cpu"))
    for early, left_out in ((False, 0), (True, 2 * model.layers * 64 * 96 if mode == "full" else 0)):
        with set_checkpoint_early_stop(early), FlopCounterMode(display=False, custom_mapping=KERNELS) as counter:
            ours(torch.zeros(1, context + 1, dtype=torch.long)).backward()
        assert counter.get_total_flops() == context * (hardware_flops(model, 512, context, mode) - left_out)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_text_has_an_embedding_that_learns(kind):
    """transformers' Llama learns none for a padding token, and documents end with this one."""
    module = tiny_module(kind)
    module(torch.tensor([[7, END, 8, 9]])).logits.square().sum().backward()
    embedding = module.get_input_embeddings().weight
    assert embedding[END].abs().sum() > 0 and embedding.grad[END].abs().sum() > 0
    assert module.generation_config.pad_token_id == module.generation_config.eos_token_id == END
