"""The pretraining benchmark: its contenders train one model on the same rows, and every line of its table is measured."""

import argparse
import copy
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import pretrain  # noqa: E402
from pretraining import fp8  # noqa: E402
from pretraining.fp8 import Float8Linear, use_float8  # noqa: E402
from pretraining.ladder import rows_of  # noqa: E402
from pretraining.ordered import Ordered  # noqa: E402
from pretraining.original import Original  # noqa: E402
from pretraining.peers import original  # noqa: E402
from pretraining.size import END_TOKEN, size_of, write_mixture  # noqa: E402
from pretraining.turns import measured_in_turns  # noqa: E402

from trellis.models.build import build  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TINY = size_of("tiny", ROOT)
ROWS = rows_of(TINY, DEVICE)
STEPS = 2


def started():
    return build(TINY.model, TINY.vocab_size, TINY.recipe.context, END_TOKEN, TINY.recipe.seed)


@pytest.fixture(autouse=True)
def environment():
    """HF Trainer leaves orders for later trainings behind."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "mixture"
    write_mixture(folder, TINY, pretrain.WARM_UP + STEPS)
    return folder


def first_batch(mixture) -> torch.Tensor:
    rows = Ordered(mixture, TINY.recipe.context)
    return torch.stack([rows[place] for place in range(TINY.batch_rows)])


def test_the_ladder_is_whole():
    """Every step that the table promises, and on a GPU float8 too."""
    steps = ["eager", "compiled", "unmasked", "chunked", "layer", "selective", "no-checkpointing", "model"]
    last = ["micro-batch-2x", *["float8"] * fp8.available(DEVICE), "deterministic"]
    assert list(ROWS) == ["original", "trainer", "trainer-other", "ours", *steps, *last]
    study = size_of("trellis-506m", ROOT)
    assert study.model.parameters == 506_328_320
    assert {"micro-batch-2x", "micro-batch-4x"} < set(rows_of(study, DEVICE))


# Of the compiled ones, which take long, one a loop and way of compiling.
COMPILED = ["trainer-other", "compiled", "unmasked", "chunked", "no-checkpointing"]


@pytest.mark.parametrize(
    "name",
    [name for name, row in ROWS.items() if row.changes.get("compile", "none") == "none"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in COMPILED],
)
def test_every_loop_begins_as_the_same_model_on_the_same_rows(mixture, name):
    args = argparse.Namespace(measure=name, mixture=mixture, steps=STEPS)
    found = pretrain.measure(args, TINY, ROWS, DEVICE, wait=lambda: None)
    rows = first_batch(mixture)[:, : TINY.recipe.context] if ROWS[name].loop == "original" else first_batch(mixture)
    with torch.no_grad():
        logits = started()(rows[:, :-1]).logits
    expected = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    assert expected == pytest.approx(math.log(TINY.vocab_size), abs=0.1)
    # bfloat16 products move the mean of 512 losses by far less; another model's, or other rows', differ by more.
    assert found["loss"] == pytest.approx(expected, abs=2e-4)
    assert len(found["seconds"]) == STEPS and min(found["seconds"]) > 0 and found["peak"] > 0


def test_the_originals_model_is_llama():
    """In float32, where nothing but the arithmetic counts: the same logits and the same gradients."""
    start, rows = started(), torch.randint(TINY.vocab_size, (3, 32), generator=torch.Generator().manual_seed(0))
    theirs = Original(TINY.model, TINY.vocab_size, TINY.recipe.context)
    theirs.load_llama(start)
    a, b = start(rows).logits, theirs(rows)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    a.square().mean().backward()
    b.square().mean().backward()
    for own, other in (
        (start.model.layers[0].self_attn.k_proj, theirs.blocks[0].k),
        (start.model.layers[1].mlp.gate_proj, theirs.blocks[1].gate),
        (start.model.embed_tokens, theirs.embedding),
    ):
        torch.testing.assert_close(own.weight.grad, other.weight.grad, rtol=1e-3, atol=1e-7)


def test_the_originals_loop_does_what_made_it_slow(mixture, monkeypatch):
    """An odd number of tokens, keys and values as many as queries, whole logits in memory, every block computed twice, and
    one wait for every loss."""
    inputs, attended, waits = [], [], []
    forward, attention, item = Original.forward, F.scaled_dot_product_attention, torch.Tensor.item

    def attend(q, k, v, **options):
        assert q.shape == k.shape == v.shape and options == {"is_causal": True}
        attended.append(q.shape)
        return attention(q, k, v, **options)

    def run(self, tokens):
        inputs.append(tokens.shape)
        logits = forward(self, tokens)
        assert logits.shape == (*tokens.shape, TINY.vocab_size)
        return logits

    def wait(self):
        # Not those of the optimizer.
        if sys._getframe(1).f_code is original.__code__:
            waits.append(self.shape)
        return item(self)

    monkeypatch.setattr(Original, "forward", run)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    monkeypatch.setattr(torch.Tensor, "item", wait)
    original(TINY.changed(**ROWS["original"].changes), started(), mixture, DEVICE)
    micro_steps = (pretrain.WARM_UP + STEPS) * TINY.batch_rows // TINY.recipe.micro_batch
    assert inputs == [(TINY.recipe.micro_batch, TINY.recipe.context - 1)] * micro_steps
    assert len(attended) == 2 * TINY.model.layers * micro_steps
    assert len(waits) == micro_steps


@pytest.mark.skipif(DEVICE.type == "cuda" and not fp8.available(DEVICE), reason="this GPU has no float8 products")
def test_float8_linear_is_a_linear_layer_to_the_precision_of_its_formats():
    torch.manual_seed(0)
    exact = torch.nn.Sequential(torch.nn.Linear(64, 96, bias=False)).to(DEVICE)
    float8 = copy.deepcopy(exact)
    use_float8(float8)
    assert type(float8[0]) is Float8Linear and float8[0].weight.dtype == torch.float32
    # Of a size that e4m3 (at most 448) and e5m2 (at least 2**-16) could not hold unscaled.
    x = 1e4 * torch.randn(2, 16, 64, device=DEVICE)
    gradient = 1e-7 * torch.randn(2, 16, 96, device=DEVICE)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(value) for layer, value in zip((exact, float8), inputs, strict=True)]
    for output in outputs:
        output.backward(gradient.to(output.dtype))
    # A value keeps 3 bits (e4m3) or 2 (e5m2): errors of a few hundredths, and not none.
    assert 0.01 < off(outputs[1], outputs[0]) < 0.05
    assert 0.01 < off(inputs[1].grad, inputs[0].grad) < 0.08
    assert 0.01 < off(float8[0].weight.grad, exact[0].weight.grad) < 0.08


def off(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()


def test_float8_refuses_what_the_device_would():
    with pytest.raises(ValueError, match="multiple of 16"):
        use_float8(torch.nn.ModuleList([torch.nn.Linear(64, 100, bias=False)]))


CONTENDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pretraining.turns import answering
wait, answer = answering()
for step in range(3):
    with open(sys.argv[2], "a") as file:
        file.write(sys.argv[3])
    print("what a library prints")
    if sys.argv[3] == "b" and step == 1:
        sys.exit("out of memory")
    wait()
answer({"name": sys.argv[3]})
"""


def test_contenders_take_a_step_each_in_turn_and_one_that_fails_says_why(tmp_path):
    order = tmp_path / "order"
    words = [sys.executable, "-c", CONTENDER, str(ROOT / "benchmarks"), str(order)]
    found = measured_in_turns({name: [*words, name] for name in "abc"})
    assert order.read_text() == "abcabcac"
    assert found == {"a": {"name": "a"}, "b": {"error": "out of memory"}, "c": {"name": "c"}}


@pytest.mark.slow
def test_the_script_prints_every_row_it_is_asked_for():
    names = ["ceiling", "original", "trainer", "ours"]
    command = [sys.executable, str(ROOT / "benchmarks/pretrain.py"), "--experiment", "tiny", "--repeats", "1"]
    command += ["--steps", "2", "--threads", "1", "--rows", *names]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert answer.returncode == 0, answer.stderr
    lines = [line[2:-2].split(" | ") for line in answer.stdout.splitlines() if line.startswith("| ")]
    head, *table = lines
    assert len(table) == len(names)
    for name, line in zip(names[1:], table, strict=False):
        assert line[0] == ROWS[name].label and len(line) == len(head)
        rate, spread, memory = line[2], line[3], line[6]
        low, high = (number(part) for part in spread.split(" to "))
        assert 0 < low <= number(rate) <= high and number(memory) > 0
        assert all(0 < number(share.rstrip("%")) < 100 for share in line[4:6])
    assert table[0][8] == table[1][7] == "1.00"
    assert number(table[2][7]) == pytest.approx(number(table[2][2]) / number(table[1][2]), abs=0.01)


def number(text: str) -> float:
    assert re.fullmatch(r"[\d,.]+", text), text
    return float(text.replace(",", ""))
