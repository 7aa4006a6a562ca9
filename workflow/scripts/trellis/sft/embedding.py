"""Where the embedding of a new token begins: at the mean, where it is no nearer to one token than to another."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def start_at_mean(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: tuple[str, ...]) -> None:
    """Sets the rows of `tokens`, in the embedding and in the output's (which may be one), to the mean over all other
    tokens of the tokenizer: never trained, their logits would begin anywhere, and at random they could outweigh all others
    (Hewitt, "Initializing New Word Embeddings for Pretrained Language Models", 2021). Rows that no token has take no
    part."""
    new = tokenizer.convert_tokens_to_ids(list(tokens))
    others = sorted(set(tokenizer.get_vocab().values()) - set(new))
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.weight[new] = layer.weight[others].mean(dim=0)
