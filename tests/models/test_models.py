"""Parameter counts and FLOPs: the arithmetic agrees with the modules, and both with the published figures."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from trellis.experiment.models import GptNeox, Llama
from trellis.models.build import build, configuration
from trellis.models.size import parameters, training_flops

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
    assert training_flops(STUDY, 50_304, 2048) == pytest.approx(3.029e9, rel=1e-3)


@pytest.mark.parametrize("kind", [Llama, GptNeox])
def test_flops_agree_with_a_counter_on_the_real_module(kind):
    shape = {"mixture": "m", "hidden_size": 64, "intermediate_size": 96, "layers": 3, "heads": 4, "parameters": 1}
    shape |= {"kind": "llama", "kv_heads": 2} if kind is Llama else {"kind": "gpt_neox"}
    model = kind(**shape)
    model = model.model_copy(update={"parameters": parameters(model, 512)})
    module, context = build(model, 512, 128, 0, seed=0), 128
    module.config._attn_implementation = "eager"
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, context, dtype=torch.long), use_cache=False).logits.sum().backward()
    # The counter takes the full attention square, the causal convention half of it.
    square = 6 * model.layers * model.hidden_size * context
    ours = training_flops(model, 512, context) + square
    assert counter.get_total_flops() / context == pytest.approx(ours, rel=0.03)
