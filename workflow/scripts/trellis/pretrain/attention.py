"""Causal attention by one fused kernel, inside transformers' own modules.

Compiled as a whole, transformers' SDPA path gets a materialised causal mask, with which no flash kernel runs; not compiled,
it makes the host wait for the device once a forward pass, to see whether positions start anew within a row. An attention
function under a name that has no mask function is spared both: transformers then makes no mask, and hands on what it is
given, if that is [rows, 1, context, context].
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, PreTrainedConfig

from trellis.device import autocast
from trellis.errors import TrellisError
from trellis.experiment.pretraining import Pretraining

NAME = "trellis"


def kernel(device: str, masked: bool) -> SDPBackend:
    """The one kernel that attention may run as: flash; on a GPU with a mask or in float32, where there is no flash kernel,
    the memory-efficient one. Neither holds context x context scores; the kernel that does is never fallen back to."""
    if device == "cuda" and (masked or not torch.is_autocast_enabled(device)):
        return SDPBackend.EFFICIENT_ATTENTION
    return SDPBackend.FLASH_ATTENTION


def attend(
    module: torch.nn.Module | None,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [rows, heads, context, width], key and value with as many heads or a
    divisor of them, an additive mask [rows, 1, context, context] or none -> [rows, context, heads, width]. No dropout.
    Raises RuntimeError where the device has no such kernel."""
    if query.device.type == "cpu" and query.dtype != torch.float32:
        # Forward and backward, a processor's kernel takes 1.5 times as long in bfloat16.
        with torch.autocast("cpu", enabled=False):
            mask = None if attention_mask is None else attention_mask.float()
            output, _ = attend(module, query.float(), key.float(), value.float(), mask, scaling)
            return output.to(query.dtype), None
    backend = kernel(query.device.type, attention_mask is not None)
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and backend == SDPBackend.EFFICIENT_ATTENTION:  # this kernel knows no groups
        key, value = (tensor[:, :, None].expand(-1, -1, groups, -1, -1).flatten(1, 2) for tensor in (key, value))
        groups = 1
    with sdpa_kernel(backend):
        output = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            is_causal=attention_mask is None,
            scale=scaling,
            enable_gqa=groups > 1,
        )
    return output.transpose(1, 2), None


AttentionInterface.register(NAME, attend)


def document_mask(inputs: Tensor, end_token: int, dtype: torch.dtype) -> Tensor:
    """For tokens [rows, context] the additive mask [rows, 1, context, context] by which a token sees itself and what stands
    before it in its own document; an end token belongs to the document that it ends. Positions need no reset: rotary
    embeddings are relative.

    The cost: no flash kernel takes a mask, so that a GPU computes the square of scores whole, twice the causal work, and
    repeats the keys and values of grouped heads. The mask is made once a forward pass, as numbers in the queries' dtype: of
    a boolean one, every layer would make and keep such numbers of its own.
    """
    ends = inputs == end_token
    document = ends.cumsum(1) - ends.long()
    context = inputs.shape[1]
    unseen = torch.ones(context, context, dtype=torch.bool, device=inputs.device).triu(1)
    unseen = unseen | (document[:, None, :] != document[:, :, None])
    return torch.zeros(unseen.shape, dtype=dtype, device=inputs.device).masked_fill_(unseen, -torch.inf)[:, None]


def computing_dtype(device: torch.device) -> torch.dtype:
    """The dtype of matrix products: that of the surrounding autocast, or float32."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


def require_kernel(config: PreTrainedConfig, recipe: Pretraining, device: torch.device) -> None:
    """Attends once, forward and backward, in the shapes of training. Raises TrellisError where the device has no fused
    kernel for them."""
    rows, context, heads = recipe.micro_batch, recipe.context, config.num_attention_heads
    shared, width = getattr(config, "num_key_value_heads", heads), config.hidden_size // heads
    query, key, value = (
        torch.zeros(rows, count, context, width, device=device, requires_grad=True) for count in (heads, shared, shared)
    )
    try:
        with autocast(device, recipe.precision):
            inputs = torch.zeros(rows, context, dtype=torch.long, device=device)
            mask = document_mask(inputs, 0, computing_dtype(device)) if recipe.document_masks else None
            attend(None, query, key, value, mask)[0].sum().backward()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
        raise TrellisError(
            f"{name} has no fused attention kernel for {heads} heads of width {width} over {context} tokens in "
            f"{recipe.precision}{' with document masks' if recipe.document_masks else ''} "
            f"({str(error).splitlines()[0]}); take a GPU of compute capability 8.0 or higher, and heads of at most 256"
        ) from None
