"""What a training step computes: from rows of tokens to a loss that can be differentiated."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
from transformers import PreTrainedModel

from trellis.device import autocast
from trellis.experiment.pretraining import Pretraining
from trellis.pretrain.attention import NAME, computing_dtype, document_mask, require_kernel
from trellis.pretrain.loss import chunk_loss, linear_cross_entropy

# What selective checkpointing keeps: the results that are expensive to compute again, for the memory that they take.
KEPT = [
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
]


class NextTokenLoss(torch.nn.Module):
    """A llama or gpt_neox `module` with float32 weights, and the loss of its next tokens, computed as `recipe` says.

    Moves the module to `device`; its parameters keep their names. Raises TrellisError where the device has no fused
    attention kernel for it.
    """

    def __init__(self, module: PreTrainedModel, recipe: Pretraining, end_token: int, device: torch.device) -> None:
        super().__init__()
        self.module, self.recipe, self.end_token, self.device = module.to(device), recipe, end_token, device
        require_kernel(module.config, recipe, device)
        module.set_attn_implementation(NAME)
        self.chunk_loss = chunk_loss
        base = module.base_model
        if recipe.gradient_checkpointing != "none":
            for layer in base.layers:
                layer.forward = _checkpointed(layer.forward, recipe.gradient_checkpointing)
        if recipe.compile != "none":
            self.chunk_loss = torch.compile(chunk_loss, fullgraph=True)
            for part in base.layers if recipe.compile == "layer" else [base]:
                part.compile(fullgraph=True)

    def forward(self, rows: Tensor) -> Tensor:
        """The summed loss in nats, a float32 scalar, of rows int64 [rows, context + 1] on the device: every token of a row
        but the first is predicted from those before it."""
        inputs, targets = rows[:, :-1], rows[:, 1:]
        with autocast(self.device, self.recipe.precision):
            dtype = computing_dtype(self.device)
            mask = document_mask(inputs, self.end_token, dtype) if self.recipe.document_masks else None
            hidden = self.module.base_model(inputs, attention_mask=mask, use_cache=False).last_hidden_state
        weight = self.module.get_output_embeddings().weight
        return linear_cross_entropy(hidden.flatten(0, 1), weight, targets.flatten(), dtype, self.chunk_loss)


def _checkpointed(forward: Callable, mode: str) -> Callable:
    """`forward` that keeps its inputs, and with `selective` its matrix products and attention, and computes the rest again
    in the backward pass. No layer draws random numbers, so that no random state is kept."""
    kept = {"context_fn": partial(create_selective_checkpoint_contexts, KEPT)} if mode == "selective" else {}

    def checkpointed(*arguments, **named):
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **kept, **named)

    return checkpointed
