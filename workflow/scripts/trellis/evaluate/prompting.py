"""What a model is asked: every item as turns of the one chat template, for a base model with examples before it.

A fine-tuned model brings its template in its tokenizer; a base model gets the same one here, and the suite's shots as turns of
it (user, assistant, ...). What a base model scores is therefore how far pretraining alone takes the format from a few examples:
it has never seen the template, and stops only if it takes the end of turn over from them. It is neither the base model's best
prompt nor comparable item by item with a fine-tuned model, which sees no examples: read it beside them, never against them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from trellis.chat import attach
from trellis.errors import TrellisError

Turns = list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """An item's prompt in tokens, the generation prompt included, and how many shots stand in it."""

    id: str
    ids: list[int]
    shots: int

    def __len__(self) -> int:
        return len(self.ids)


def load_tokenizer(folder: Path, template: str | None) -> PreTrainedTokenizerFast:
    """The model's tokenizer, with `template` attached if one is given. Raises TrellisError when it then has none."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if template is not None:
        attach(tokenizer, template)
    elif not tokenizer.chat_template:
        raise TrellisError(f"evaluate_generate: the fine-tuned model in {folder} has no chat template in its tokenizer")
    return tokenizer


def answer_ids(tokenizer: PreTrainedTokenizerFast, answer: str) -> list[int]:
    """A right answer in tokens, without the end of turn; a special token's text in it is text."""
    return tokenizer(answer, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def prompts(
    items: Iterable[dict[str, Any]],
    shots: list[dict[str, Any]],
    most: int,
    tokenizer: PreTrainedTokenizerFast,
    rooms: Iterable[int],
) -> Iterator[Prompt]:
    """Each item's prompt with its first `most` shots (of all, or where shots name a stratum, of its own), or as many of them
    as leave it no longer than its room, in tokens; one that is longer without any comes as it is."""
    for item, room in zip(items, rooms, strict=True):
        mine = [shot for shot in shots if "stratum" not in shot or shot["stratum"] == item["stratum"]][:most]
        examples = [[*shot["messages"], {"role": "assistant", "content": shot["answer"]}] for shot in mine]
        for count in range(len(examples), -1, -1):
            turns = [turn for example in examples[:count] for turn in example] + item["messages"]
            ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
            if len(ids) <= room or not count:
                yield Prompt(item["id"], ids, count)
                break
