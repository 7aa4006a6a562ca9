"""The loss that is trained on: transformers' own, whatever the attention, the masks, the recomputation or the batch."""

import itertools
import json
import subprocess
import sys

import pytest
import torch

from allocations import Allocations
from tiny_decoders import CONTEXT, END, KINDS, VOCABULARY, recipe, rows, tiny_module
from trellis.pretrain import loss, objective
from trellis.pretrain.attention import NAME
from trellis.pretrain.objective import NextTokenLoss

CPU = torch.device("cpu")
HOST_WAITS = "aten::_local_scalar_dense"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setitem(loss.CHUNK, "cpu", 40)


def objective_of(kind, shape=None, **keys):
    return NextTokenLoss(tiny_module(kind, **(shape or {})), recipe(**keys), END, CPU)


def gradients(module):
    return {name: weight.grad for name, weight in module.named_parameters()}


def packed(*lengths, seed=0):
    """One row of documents of these lengths, each with its end token, cut at CONTEXT + 1 tokens; and the row of each
    document alone, with the token that follows it as its last target."""
    tokens = torch.randint(END + 1, VOCABULARY, (sum(lengths),), generator=torch.Generator().manual_seed(seed))
    ends = torch.tensor(lengths).cumsum(0)
    tokens[ends - 1] = END
    row, starts = tokens[: CONTEXT + 1], [0, *ends.tolist()]
    alone = [row[begin : end + 1] for begin, end in itertools.pairwise(starts)]
    return row[None], [document[None] for document in alone if len(document) > 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True])
def test_loss_and_gradients_are_those_of_transformers(kind, tied):
    theirs, batch = tiny_module(kind, tie_embeddings=tied), rows()
    expected = theirs(batch, labels=batch).loss  # the mean of what is predicted
    expected.backward()
    ours = objective_of(kind, {"tie_embeddings": tied})
    mean = ours(batch) / (4 * CONTEXT)
    mean.backward()
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradients(ours.module), gradients(theirs), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(9, 6, 30), (1, 1, 10, 13), (40,), (8, 8, 8, 1), (20, 1)])
def test_masked_documents_are_what_they_are_alone(kind, lengths):
    ours, unmasked = objective_of(kind, document_masks=True), objective_of(kind)
    row, documents = packed(*lengths)
    assert sum(document.shape[1] - 1 for document in documents) == CONTEXT
    alone = sum(unmasked(document) for document in documents)
    together = ours(row)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)
    if len(documents) > 1:
        assert abs(unmasked(row) - alone) > 1e-3
    alone.backward()
    together.backward()
    torch.testing.assert_close(gradients(ours.module), gradients(unmasked.module), rtol=1e-3, atol=1e-5)


def test_masked_rows_of_a_batch_have_their_own_documents():
    ours = objective_of("llama", document_masks=True)
    batch = torch.cat([packed(9, 6, 30)[0], packed(3, 40, seed=1)[0]])
    torch.testing.assert_close(ours(batch), ours(batch[:1]) + ours(batch[1:]))


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request, monkeypatch):
    """Both precisions, on any processor."""
    if request.param == "bfloat16":
        monkeypatch.setattr(objective, "autocast", lambda *_: torch.autocast("cpu", torch.bfloat16))
    return request.param


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masks", [False, True])
def test_recomputation_saves_memory_and_changes_no_bit(kind, masks, precision):
    kept, found = {}, {}
    for mode in ("none", "selective", "full"):
        ours = objective_of(kind, gradient_checkpointing=mode, document_masks=masks, precision=precision)
        with Allocations() as made:
            value = ours(rows())
            kept[mode] = made.alive()
        value.backward()
        found[mode] = {"loss": value.detach(), **gradients(ours.module)}
    assert kept["full"] < 0.8 * kept["selective"] < 0.8 * 0.9 * kept["none"]
    for mode in ("selective", "full"):
        assert all(torch.equal(found[mode][name], value) for name, value in found["none"].items())


def test_selective_recomputes_no_product_and_no_attention():
    def count(mode):
        ours = objective_of("llama", gradient_checkpointing=mode)
        with Allocations() as made:
            ours(rows()).backward()
        names = ("aten::mm", "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::rsqrt")
        return [made.operations.count(name) for name in names]

    none, selective, full = (count(mode) for mode in ("none", "selective", "full"))
    assert selective[:2] == none[:2] and selective[2] > none[2]
    assert full[0] > none[0] and full[1] == 2 * none[1]


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_add_up_to_the_batch(kind):
    whole, parts, batch = objective_of(kind), objective_of(kind), rows(5)
    whole(batch).backward()
    total = torch.zeros(())
    for part in batch.split(2):
        value = parts(part)
        value.backward()
        total += value.detach()
    torch.testing.assert_close(total, whole(batch).detach())
    torch.testing.assert_close(gradients(parts.module), gradients(whole.module), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns(kind):
    ours, batch = objective_of(kind), rows()
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        value = ours(batch) / (4 * CONTEXT)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    assert losses[-1] < losses[0] - 2


def test_validation_is_the_same_loss_without_gradients():
    ours = objective_of("gpt_neox", gradient_checkpointing="selective")
    expected = ours(rows())
    ours.eval()
    with torch.no_grad():
        value = ours(rows())
    assert not value.requires_grad and torch.equal(value, expected.detach())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masks", [False, True])
def test_the_host_never_waits_for_the_device(kind, masks):
    """transformers' own attention does, once a forward pass: what is tested for can be seen."""
    batch, ours = rows(), objective_of(kind, document_masks=masks, gradient_checkpointing="selective")
    with Allocations() as theirs_made:
        tiny_module(kind).base_model(batch, use_cache=False)
    assert HOST_WAITS in theirs_made.operations
    with Allocations() as made:
        ours(batch).backward()
    assert HOST_WAITS not in made.operations


READER = """
import json, sys
sys.modules["trellis"] = None  # nothing of ours can be imported
import torch
from transformers import AutoModelForCausalLM
rows, losses = torch.tensor(json.loads(sys.argv[1])), []
for folder in sys.argv[2:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    losses.append(model(rows, labels=rows).loss.item())
print(json.dumps(losses))
"""


def test_what_is_exported_knows_nothing_of_this(tmp_path):
    expected = []
    for kind in KINDS:
        ours = objective_of(kind, gradient_checkpointing="selective")
        names = [name for name, _ in tiny_module(kind).named_parameters()]
        assert [name for name, _ in ours.module.named_parameters()] == names
        expected.append(ours(rows()).item() / (4 * CONTEXT))
        ours.module.save_pretrained(tmp_path / kind)
        for path in (tmp_path / kind).glob("*.json"):
            assert f'"{NAME}"' not in path.read_text()
    command = [sys.executable, "-c", READER, json.dumps(rows().tolist()), *(str(tmp_path / kind) for kind in KINDS)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert json.loads(found.stdout) == pytest.approx(expected, rel=1e-6)
