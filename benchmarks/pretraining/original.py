"""The original study's model, reconstructed from its train.py (mdonigian/llm-trainer); its loop is `peers.original`.

What costs time or memory there, and is kept here: a row of `context` tokens is sliced into inputs and targets, so that
an odd number of tokens is read; keys and values are repeated for every query head; the logits of a whole micro-batch stand in
memory, in float32 for the loss; every micro-step waits for the device to report its loss; every block is computed again in
the backward pass; four rows are a micro-batch. Its attention is causal without a mask, its norms and rotations are plain
arithmetic, and the model is compiled as a whole.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from trellis.experiment.models import Llama


class Norm(nn.Module):
    """RMSNorm in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight


class Block(nn.Module):
    """Pre-norm attention with repeated keys and values, then SwiGLU."""

    def __init__(self, model: Llama) -> None:
        super().__init__()
        width, self.head = model.hidden_size, model.hidden_size // model.heads
        self.repeats = model.heads // model.kv_heads
        self.attention_norm, self.mlp_norm = Norm(width, model.norm_eps), Norm(width, model.norm_eps)
        self.q = nn.Linear(width, model.heads * self.head, bias=False)
        self.k = nn.Linear(width, model.kv_heads * self.head, bias=False)
        self.v = nn.Linear(width, model.kv_heads * self.head, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, model.intermediate_size, bias=False)
        self.up = nn.Linear(width, model.intermediate_size, bias=False)
        self.down = nn.Linear(model.intermediate_size, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        normed = self.attention_norm(x)
        q, k, v = (
            project(normed).unflatten(-1, (-1, self.head)).transpose(1, 2) for project in (self.q, self.k, self.v)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = k.repeat_interleave(self.repeats, dim=1), v.repeat_interleave(self.repeats, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        normed = self.mlp_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on x [rows, heads, tokens, head], by halves; cos and sin are float32 [tokens, head / 2]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Original(nn.Module):
    """Tokens [rows, tokens] to logits [rows, tokens, vocab_size], every block checkpointed."""

    def __init__(self, model: Llama, vocab_size: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, model.hidden_size)
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.layers))
        self.norm = Norm(model.hidden_size, model.norm_eps)
        self.head = nn.Linear(model.hidden_size, vocab_size, bias=False)
        if model.tie_embeddings:
            self.head.weight = self.embedding.weight
        half = torch.arange(0, model.hidden_size // model.heads, 2) / (model.hidden_size // model.heads)
        angles = torch.outer(torch.arange(context), model.rope_theta**-half)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for block in self.blocks:
            x = checkpoint(block, x, cos, sin, use_reentrant=False)
        return self.head(self.norm(x))

    def load_llama(self, module: nn.Module) -> None:
        """Takes the weights of a LlamaForCausalLM of the same shape, so that all contenders begin as the same model."""
        names = {"model.embed_tokens": "embedding", "model.norm": "norm", "lm_head": "head"}
        inside = {"self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v", "self_attn.o_proj": "o"}
        inside |= {f"mlp.{name}_proj": name for name in ("gate", "up", "down")}
        inside |= {"input_layernorm": "attention_norm", "post_attention_layernorm": "mlp_norm"}
        for layer in range(len(self.blocks)):
            names |= {f"model.layers.{layer}.{theirs}": f"blocks.{layer}.{own}" for theirs, own in inside.items()}
        weights = module.state_dict()
        self.load_state_dict({f"{own}.weight": weights[f"{theirs}.weight"] for theirs, own in names.items()})
