"""The output head and cross-entropy together, a part of the tokens at a time, so that logits are never whole."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Tokens whose logits exist at a time: on a GPU, of 50,304 entries 393 MiB in float32, whatever the micro-batch. Every chunk
# reads and writes the weight's gradient once, which is arithmetically 2 to 3% of a step of the 506M model; with half of it,
# twice that. On a processor so few that the logits of a small vocabulary stay in its cache.
CHUNK = {"cuda": 2048, "cpu": 256}


def chunk_loss(
    hidden: Tensor, head: Tensor, targets: Tensor, head_gradient: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The summed loss of hidden states [chunk, width] under the head [vocab, width], softmax and logarithm in float32. With
    a `head_gradient` [vocab, width] the loss's gradient is added to it, and the one of the hidden states returned: logits
    are at hand, so that the backward pass need not compute them again."""
    scores = F.log_softmax(hidden @ head.T, dim=-1, dtype=torch.promote_types(head.dtype, torch.float32))
    loss = -scores.gather(1, targets[:, None]).sum()
    if head_gradient is None:
        return loss, None
    target = torch.arange(head.shape[0], device=targets.device) == targets[:, None]
    gradient = scores.exp_().add_(target, alpha=-1).to(head.dtype)
    head_gradient += gradient.T @ hidden
    return loss, gradient @ head


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, dtype, step, differentiate):
        head = weight.to(dtype)
        weight_gradient = torch.zeros_like(weight) if differentiate else None
        losses, gradients = [], []
        chunk = CHUNK[hidden.device.type]
        for part, part_targets in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            loss, gradient = step(part.to(dtype), head, part_targets, weight_gradient)
            losses.append(loss)
            gradients.append(gradient)
        if differentiate:
            ctx.save_for_backward(torch.cat(gradients).to(hidden.dtype), weight_gradient)
        return torch.stack(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx, factor):
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return factor * hidden_gradient, factor * weight_gradient, None, None, None, None


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, step: Callable = chunk_loss
) -> Tensor:
    """The summed cross-entropy in nats of hidden states [tokens, width] under the output head `weight` [vocab, width] for
    `targets` [tokens]: a scalar in float32. Matrix products in `dtype`; softmax, loss and the sum of the weight's gradient
    over chunks in float32. `step` is `chunk_loss`, or what a compiler made of it."""
    return _LinearCrossEntropy.apply(hidden, weight, targets, dtype, step, torch.is_grad_enabled())
