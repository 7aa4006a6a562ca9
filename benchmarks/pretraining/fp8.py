"""Linear layers whose three matrix products run in float8: a row of the benchmark, and no part of the study.

Values are e4m3, gradients e5m2, each tensor scaled by one factor that brings its largest magnitude to the format's largest,
as in Micikevicius et al., arXiv 2209.05433. Weights stay in float32.
"""

import torch
from torch import nn


def available(device: torch.device) -> bool:
    """Float8 products came with compute capability 8.9 (Ada, Hopper)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def use_float8(blocks: nn.Module) -> None:
    """Turns every nn.Linear inside `blocks` into one that computes in float8, with the same parameters. Raises ValueError
    for a width that the device's products do not take."""
    for module in blocks.modules():
        if type(module) is nn.Linear:
            if module.in_features % 16 or module.out_features % 16 or module.bias is not None:
                raise ValueError(f"{module} has a bias, or a width that is no multiple of 16")
            module.__class__ = Float8Linear


class Float8Linear(nn.Linear):
    """[..., in_features] to bfloat16 [..., out_features]; the leading sizes multiply to a multiple of 16."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        product = _Product.apply(input.flatten(0, -2), self.weight)
        return product.unflatten(0, input.shape[:-1])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        x8, x_scale = _scaled(x, torch.float8_e4m3fn)
        weight8, weight_scale = _scaled(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(x8, x_scale, weight8, weight_scale)
        ctx.x_dtype = x.dtype
        return _multiply(x8, weight8.t(), x_scale, weight_scale, torch.bfloat16, fast=True)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x8, x_scale, weight8, weight_scale = ctx.saved_tensors
        gradient8, scale = _scaled(gradient, torch.float8_e5m2)
        for_x = _multiply(gradient8, _by_columns(weight8), scale, weight_scale, torch.bfloat16)
        for_weight = _multiply(gradient8.t().contiguous(), _by_columns(x8), scale, x_scale, torch.float32)
        return for_x.to(ctx.x_dtype), for_weight


def _scaled(x: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """x in `dtype`, row after row in memory, and the float32 scalar that undoes the scaling."""
    most = torch.finfo(dtype).max
    scale = most / x.abs().amax().float().clamp(min=1e-12)
    return (x.contiguous().float() * scale).clamp(-most, most).to(dtype), scale.reciprocal()


def _by_columns(x: torch.Tensor) -> torch.Tensor:
    """The same matrix, column after column in memory, as the second factor has to be."""
    return x.t().contiguous().t()


def _multiply(a, b, a_scale, b_scale, dtype: torch.dtype, fast: bool = False) -> torch.Tensor:
    return torch._scaled_mm(a, b, scale_a=a_scale, scale_b=b_scale, out_dtype=dtype, use_fast_accum=fast)
