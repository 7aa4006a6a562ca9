"""The classifier: one pretrained encoder, mean pooling to unit length, and a linear head per rubric."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel

from trellis.device import autocast


@dataclass
class Head:
    """What a head answers. Multi-label: a logit per label, and the thresholds on their sigmoids. Ordinal: one number in
    deviations from the training labels' mean. `sources` are those whose documents carry labels of the rubric."""

    scale: str
    version: int
    sources: list[str]
    labels: list[str] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        return len(self.labels) or 1


class Classifier(nn.Module):
    """Always in evaluation mode, in training too: few epochs need no dropout (ModernBERT has none), and on a processor
    it takes most of the time.

    `forward` maps token ids and mask [documents, tokens] to float32 scores by rubric: sigmoids [documents, labels], or
    levels [documents]."""

    def __init__(self, encoder: nn.Module, heads: dict[str, Head]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads
        hidden = encoder.config.hidden_size
        self.linear = nn.ModuleDict({name: nn.Linear(hidden, head.width) for name, head in heads.items()})
        self.eval()

    def start_from(self, prevalence: dict[str, np.ndarray]) -> None:
        """Heads that at first answer every document with the training labels' shares, or mean level."""
        for name, linear in self.linear.items():
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
            if self.heads[name].scale == "multi_label":
                linear.bias.data.copy_(torch.from_numpy(prevalence[name]).logit())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def pad_id(self) -> int:
        return self.encoder.config.pad_token_id or 0

    def raw(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits [documents, labels] or standardised levels [documents, 1], in float32."""
        with autocast(ids.device, "bfloat16"):
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        pooled = (states.float() * weight).sum(1) / weight.sum(1)
        # Unit variance per component, whatever the encoder's scale: one learning rate serves every encoder.
        pooled = nn.functional.normalize(pooled) * pooled.shape[1] ** 0.5
        return {name: linear(pooled) for name, linear in self.linear.items()}

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        scores = {}
        for name, raw in self.raw(ids, mask).items():
            head = self.heads[name]
            is_ordinal = head.scale == "ordinal"
            scores[name] = raw[:, 0] * head.deviation + head.mean if is_ordinal else raw.sigmoid()
        return scores

    def save(self, folder: Path) -> None:
        """Writes config.json, model.safetensors, heads.safetensors and heads.json."""
        self.encoder.save_pretrained(folder)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.linear.state_dict().items()}
        save_file(weights, folder / "heads.safetensors")
        heads = {name: asdict(head) for name, head in self.heads.items()}
        (folder / "heads.json").write_text(json.dumps(heads, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        heads = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        model = cls(load_encoder(folder), {name: Head(**head) for name, head in heads.items()})
        model.linear.load_state_dict(load_file(folder / "heads.safetensors"))
        return model


def load_encoder(folder: Path) -> nn.Module:
    """The encoder of a local folder, in float32; safetensors only, no remote code."""
    return AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
