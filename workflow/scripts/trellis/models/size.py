"""Parameters and training FLOPs of a decoder, from its configuration alone."""

from trellis.experiment.models import Decoder, GptNeox, Llama


def matrix_parameters(model: Decoder, vocab_size: int) -> int:
    """The weights that every token is multiplied with: blocks and output head, not the input embedding."""
    return model.layers * _block(model) + vocab_size * model.hidden_size


def _block(model: Decoder) -> int:
    hidden, inner = model.hidden_size, model.intermediate_size
    if isinstance(model, Llama):
        keys_values = 2 * hidden * (hidden // model.heads) * model.kv_heads
        return 2 * hidden * hidden + keys_values + 3 * hidden * inner
    return 4 * hidden * hidden + 2 * hidden * inner


def parameters(model: Decoder, vocab_size: int) -> int:
    """All trained weights, tied embeddings counted once."""
    hidden = model.hidden_size
    if isinstance(model, Llama):
        small = model.layers * 2 * hidden + hidden
    elif isinstance(model, GptNeox):
        small = model.layers * (4 * hidden + hidden + model.intermediate_size + hidden + 3 * hidden) + 2 * hidden
    embedding = 0 if model.tie_embeddings else vocab_size * hidden
    return matrix_parameters(model, vocab_size) + embedding + small


def training_flops(model: Decoder, vocab_size: int, context: int) -> int:
    """FLOPs per token, forward and backward: 6 per matrix weight, and attention by the causal convention (half of the
    full square): 6 * layers * hidden * context."""
    return 6 * matrix_parameters(model, vocab_size) + 6 * model.layers * model.hidden_size * context


def hardware_flops(model: Decoder, vocab_size: int, context: int, gradient_checkpointing: str) -> int:
    """FLOPs per token with what is computed again: with `full` checkpointing every block's forward pass, with `selective`
    nothing that counts, and never the output head, whose gradients are made in the forward pass. By the convention of
    published figures the pass is whole; torch leaves its last matrix product out, 4% of the sum for the 506M model."""
    again = model.layers * (2 * _block(model) + 2 * model.hidden_size * context)
    return training_flops(model, vocab_size, context) + (again if gradient_checkpointing == "full" else 0)
