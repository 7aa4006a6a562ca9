"""How likely a model finds the right answer: a measure that base models have too, and that a small model's failures to write
JSON do not drown (Madaan et al., arXiv 2406.10229)."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

# Positions whose logits are held at once: 200 MB for a vocabulary of 50,000 in float32.
POSITIONS = 1024


@dataclass(frozen=True)
class Pair:
    """A prompt and the right answer to it, in tokens."""

    id: str
    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@torch.inference_mode()
def nats(model: PreTrainedModel, pairs: list[Pair]) -> list[float]:
    """-log p(answer | prompt) of each pair, summed over the answer's tokens; the end of turn is not one of them. One forward
    pass over all; logits only where a token of an answer comes next, their log-softmax in float32."""
    longest = max(map(len, pairs))
    # Padding is on the right, where causal attention never looks: no mask is needed.
    ids = [pair.prompt + pair.answer + [0] * (longest - len(pair)) for pair in pairs]
    places = [
        row * longest + place for row, pair in enumerate(pairs) for place in range(len(pair.prompt) - 1, len(pair) - 1)
    ]
    targets = [token for pair in pairs for token in pair.answer]
    ids, places, targets = (
        torch.tensor(each, dtype=torch.long, device=model.device) for each in (ids, places, targets)
    )
    hidden = model.base_model(ids, use_cache=False).last_hidden_state.flatten(0, 1)
    head = model.get_output_embeddings()
    losses = [
        torch.nn.functional.cross_entropy(head(hidden[part]).float(), target, reduction="none")
        for part, target in zip(places.split(POSITIONS), targets.split(POSITIONS), strict=True)
    ]
    answers = torch.cat(losses).double().cpu().split([len(pair.answer) for pair in pairs])
    return [answer.sum().item() for answer in answers]
