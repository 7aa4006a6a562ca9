"""From the experiment's description of a decoder to transformers' module, freshly initialised."""

import torch
from transformers import GPTNeoXConfig, LlamaConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXForCausalLM
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from trellis.errors import TrellisError
from trellis.experiment.models import Decoder, GptNeox, Llama


def configuration(model: Decoder, vocab_size: int, context: int, end_token: int) -> PreTrainedConfig:
    """The transformers configuration; `end_token` begins and ends, as GPT-NeoX's only special token does. Nothing is said
    to be padding: transformers' Llama learns no embedding for what is, and this one stands between documents."""
    common = {
        "vocab_size": vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "max_position_embeddings": context,
        "tie_word_embeddings": model.tie_embeddings,
        "bos_token_id": end_token,
        "eos_token_id": end_token,
        "use_cache": False,
    }
    rope = {"rope_type": "default", "rope_theta": model.rope_theta}
    if isinstance(model, Llama):
        return LlamaConfig(
            **common, num_key_value_heads=model.kv_heads, rms_norm_eps=model.norm_eps, rope_parameters=rope
        )
    if isinstance(model, GptNeox):
        rope["partial_rotary_factor"] = model.rotary_share
        return GPTNeoXConfig(**common, layer_norm_eps=model.norm_eps, rope_parameters=rope)
    raise TrellisError(f"no architecture is built for a model of kind {model.kind!r}")


def build(model: Decoder, vocab_size: int, context: int, end_token: int, seed: int) -> PreTrainedModel:
    """A float32 module on the CPU whose weights depend on the seed alone. Raises TrellisError when its parameters are not
    as many as the experiment states."""
    config = configuration(model, vocab_size, context, end_token)
    torch.manual_seed(seed)
    module = (LlamaForCausalLM if isinstance(model, Llama) else GPTNeoXForCausalLM)(config)
    module.generation_config.pad_token_id = end_token
    counted = sum(weight.numel() for weight in module.parameters())
    if counted != model.parameters:
        raise TrellisError(
            f"this {model.kind} model has {counted:,} parameters and the experiment states {model.parameters:,}; "
            f"correct models.*.parameters or the shape"
        )
    return module
