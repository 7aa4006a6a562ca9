"""Models of two small layers over bytes, and items to ask them, in the shape that the earlier stages publish."""

from pathlib import Path
from typing import Any

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from byte_tokenizer import publish_byte_tokenizer
from publishing import publish
from trellis.chat import attach
from trellis.experiment.sft import CHATML_TOKENS
from trellis.records import write_records

KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM)}
END = 0
VOCABULARY = 264  # 257 tokens, and rows of the embedding that belong to none


def publish_model(
    folder: Path, kind: str = "llama", context: int = 96, template: str | None = "plain", lessons=()
) -> Path:
    """A model with random weights, sharp enough that its greedy choices are no ties, as a base model leaves training where
    `template` is None, else with that template; or one that knows the answers of `lessons` (question, answer) by heart, their
    ends included."""
    config, architecture = KINDS[kind]
    torch.manual_seed(0)
    model = architecture(
        config(
            vocab_size=VOCABULARY,
            hidden_size=64 if lessons else 32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            initializer_range=0.02 if lessons else 0.5,
            eos_token_id=END,
            pad_token_id=END,
        )
    )
    source = publish_byte_tokenizer(folder.with_name(f"{folder.name}-tokenizer"))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source / "tokenizer")
    if template == "chatml":
        tokenizer.add_special_tokens({"extra_special_tokens": list(CHATML_TOKENS)})
    if template:
        attach(tokenizer, template)
    if lessons:
        learn(model, tokenizer, lessons)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return publish(folder)


def learn(model, tokenizer: PreTrainedTokenizerFast, lessons) -> None:
    """Plain fine-tuning on the template's text until every token of every answer is the model's first choice."""
    texts = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in lessons]
    rows = [tokenizer.apply_chat_template(text, return_dict=False) for text in texts]
    starts = [
        len(tokenizer.apply_chat_template(text[:1], add_generation_prompt=True, return_dict=False)) for text in texts
    ]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [END] * (longest - len(row)) for row in rows])
    labels = torch.tensor(
        [[-100] * start + row[start:] + [-100] * (longest - len(row)) for row, start in zip(rows, starts, strict=True)]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(600):
        output = model(ids, labels=labels)
        trained = labels[:, 1:] != -100
        if (output.logits[:, :-1].argmax(-1) == labels[:, 1:])[trained].all() and output.loss < 0.02:
            return
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"the model did not learn its lessons: loss {output.loss.item()}")


def item(name: str, content: str, schema: Any = None, answer: str | None = None) -> dict[str, Any]:
    """As much of an item as answering it takes."""
    messages = [{"role": "user", "content": content}]
    return {"id": name, "kind": "schema", "schema": schema, "messages": messages, "answer": answer}


def publish_items(folder: Path, items: list[dict[str, Any]], shots: list[dict[str, Any]] = ()) -> Path:
    write_records(folder / "items.jsonl", items)
    write_records(folder / "shots.jsonl", shots)
    return publish(folder)
