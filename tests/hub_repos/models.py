"""Tiny models and their tokenizers, as their repos hold them; weights are random and a function of the arguments alone."""

import json
from collections.abc import Iterable
from functools import cache

import torch
from safetensors.torch import save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, ModernBertConfig, ModernBertForMaskedLM

END = "<|endoftext|>"
# Hidden size, layers and heads of what stands for each model.
PYTHIA = {"EleutherAI/pythia-410m-deduped": (32, 2, 4), "EleutherAI/pythia-1b-deduped": (48, 3, 4)}
NEOX = "EleutherAI/gpt-neox-20b"
ENCODER = "answerdotai/ModernBERT-base"
GARBAGE = b"\x80\x02This is no pickle, and nobody may fetch it."


def model_repos(vocab_size: int, texts: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """{repo id: files}. Tokenizers are trained on the texts, to `vocab_size` less a few rows, as Pythia's has spare ones."""
    texts = list(texts)
    decoder = _decoder_tokenizer(vocab_size - 27, texts)
    special = {"bos_token": END, "eos_token": END, "unk_token": END}
    settings = {"add_prefix_space": False, "tokenizer_class": "GPTNeoXTokenizer", **special}
    words = {
        "tokenizer.json": decoder.to_str().encode(),
        "tokenizer_config.json": _json(settings),
        "special_tokens_map.json": _json(special),
    }
    repos = {
        NEOX: {**words, "config.json": _json({"model_type": "gpt_neox"}), "pytorch_model-00001-of-00046.bin": GARBAGE}
    }
    for repo, shape in PYTHIA.items():
        repos[repo] = {**words, **_pythia(repo, shape, vocab_size), "pytorch_model.bin": GARBAGE}
    repos[ENCODER] = {**_encoder(vocab_size, texts), "pytorch_model.bin": GARBAGE}
    return repos


@cache
def parameters(repo: str, vocab_size: int) -> int:
    """How many weights the model of a Pythia repo has."""
    hidden, layers, _ = PYTHIA[repo]
    block = 12 * hidden * hidden + 13 * hidden
    return 2 * vocab_size * hidden + layers * block + 2 * hidden


def _pythia(repo: str, shape: tuple[int, int, int], vocab_size: int) -> dict[str, bytes]:
    hidden, layers, heads = shape
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        **{
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu",
            "hidden_size": hidden,
            "initializer_range": 0.02,
        },
        **{"intermediate_size": 4 * hidden, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048},
        **{"model_type": "gpt_neox", "num_attention_heads": heads, "num_hidden_layers": layers},
        **{"rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False, "torch_dtype": "float16"},
        **{"use_cache": True, "use_parallel_residual": True, "vocab_size": vocab_size},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(repo))
        module = GPTNeoXForCausalLM(
            GPTNeoXConfig(**{name: value for name, value in config.items() if name != "torch_dtype"})
        )
    weights = {name: weight.detach().half().contiguous() for name, weight in module.state_dict().items()}
    # The published files carry each layer's constants too; the client's class passes them over.
    for layer in range(layers):
        start = f"gpt_neox.layers.{layer}.attention"
        weights[f"{start}.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.bool).tril()
        weights[f"{start}.masked_bias"] = torch.tensor(-1e9).half()
        weights[f"{start}.rotary_emb.inv_freq"] = torch.ones(2, dtype=torch.float16)
    return {"config.json": _json(config), "model.safetensors": save(weights, {"format": "pt"})}


def _encoder(vocab_size: int, texts: list[str]) -> dict[str, bytes]:
    tokenizer = _decoder_tokenizer(vocab_size - 27, texts, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0",
        special_tokens=[("[CLS]", first), ("[SEP]", last)],
    )
    config = ModernBertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=8192,
        pad_token_id=0,
        bos_token_id=first,
        eos_token_id=last,
        cls_token_id=first,
        sep_token_id=last,
        architectures=["ModernBertForMaskedLM"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = ModernBertForMaskedLM(config)
    weights = {
        name: weight.detach().contiguous() for name, weight in module.state_dict().items() if name != "decoder.weight"
    }
    special = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
        "unk_token": "[UNK]",
    }
    return {
        "config.json": _json(config.to_dict()),
        "model.safetensors": save(weights, {"format": "pt"}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": _json(
            {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192, **special}
        ),
        "special_tokens_map.json": _json(special),
    }


def _decoder_tokenizer(size: int, texts: list[str], special: Iterable[str] = (END, "<|padding|>")) -> Tokenizer:
    """A byte-level BPE; the special tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _json(content: dict) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"
