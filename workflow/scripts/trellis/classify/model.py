"""The classifier: one pretrained encoder, mean pooling to unit length, and a head per rubric."""

import copy
import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel

from trellis.classify.heads import Head, Target
from trellis.device import autocast


class Classifier(nn.Module):
    """Always in evaluation mode, in training too: few epochs need no dropout (ModernBERT has none), and on a processor
    it takes most of the time.

    `forward` maps token ids and mask [documents, tokens] to float32 scores by rubric: [documents, labels], or levels
    [documents]; NaN for a document without tokens."""

    def __init__(self, encoder: nn.Module, heads: dict[str, Head]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads
        hidden = encoder.config.hidden_size
        self.layers = nn.ModuleDict({name: head.layer(hidden) for name, head in heads.items()})
        self.eval()

    def start_from(self, train: dict[str, Target]) -> None:
        """Heads that say of every document what the training labels say on average."""
        for name, head in self.heads.items():
            head.start(self.layers[name], train[name])

    def scorer(self) -> "Classifier":
        """A copy for inference; its encoder is bfloat16 where that is fast: autocast would cast every weight again for
        every batch."""
        with autocast(self.device, "bfloat16"):
            fast = torch.is_autocast_enabled(self.device.type)
        made = Classifier(copy.deepcopy(self.encoder).to(torch.bfloat16 if fast else torch.float32), self.heads)
        made.layers = self.layers
        return made

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def pad_id(self) -> int:
        return self.encoder.config.pad_token_id or 0

    def raw(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What the heads' layers answer, in float32."""
        # Inference has the encoder's own precision; see `scorer`.
        with autocast(ids.device, "bfloat16") if torch.is_grad_enabled() else nullcontext():
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        pooled = (states.float() * weight).sum(1) / weight.sum(1)
        # Unit variance per component, whatever the encoder's scale: one learning rate serves every encoder.
        pooled = nn.functional.normalize(pooled) * pooled.shape[1] ** 0.5
        return {name: layer(pooled) for name, layer in self.layers.items()}

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {name: self.heads[name].scores(raw) for name, raw in self.raw(ids, mask).items()}

    def save(self, folder: Path) -> None:
        """Writes config.json, model.safetensors, heads.safetensors and heads.json."""
        self.encoder.save_pretrained(folder)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.layers.state_dict().items()}
        save_file(weights, folder / "heads.safetensors")
        heads = {name: asdict(head) for name, head in self.heads.items()}
        (folder / "heads.json").write_text(json.dumps(heads, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        heads = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        model = cls(load_encoder(folder), {name: Head(**head) for name, head in heads.items()})
        model.layers.load_state_dict(load_file(folder / "heads.safetensors"))
        return model


def load_encoder(folder: Path) -> nn.Module:
    """The encoder of a local folder, in float32; safetensors only, no remote code."""
    return AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
