"""What a fine-tuning was really given: noted example by example as the batches are made, whatever the micro-batch."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.sft import CHATML_TOKENS

IGNORED = -100
# Lengths are rounded up to this, so that few shapes occur: oneDNN keeps compiled kernels and memory for each of them.
LENGTH = 16


@dataclass(frozen=True)
class Record:
    """Of the examples so far: how many, their tokens, those of them that carried loss; and, as chains, what they were:
    every link is the sha256 of the link before it (nothing before the first) and of an example's id, or of its token ids and
    then its labels as little-endian int32."""

    examples: int = 0
    tokens: int = 0
    assistant_tokens: int = 0
    order_sha256: str = ""
    tokens_sha256: str = ""

    def followed_by(self, name: str, ids: torch.Tensor, labels: torch.Tensor) -> "Record":
        """With one more example; `ids` and `labels` [tokens] are those of the batch, without padding."""
        return Record(
            examples=self.examples + 1,
            tokens=self.tokens + len(ids),
            assistant_tokens=self.assistant_tokens + int((labels != IGNORED).sum()),
            order_sha256=_link(self.order_sha256, name.encode()),
            tokens_sha256=_link(self.tokens_sha256, torch.cat((ids, labels)).numpy().astype("<i4").tobytes()),
        )


class Recorder(DataCollatorForLanguageModeling):
    """TRL's collator, with the record after every micro-batch in `records`; the first one is `before`, what an interrupted
    run had been given. The loader reads ahead of the training."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, before: Record) -> None:
        super().__init__(pad_token_id=tokenizer.pad_token_id, pad_to_multiple_of=LENGTH)
        self.tokenizer, self.max_length = tokenizer, max_length
        self.records = [before]

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Raises TrellisError when the loss would fall on other tokens than the assistant's."""
        batch, record = super().torch_call(examples), self.records[-1]
        for example, ids, labels in zip(examples, batch["input_ids"], batch["labels"], strict=True):
            length = len(example["input_ids"])
            self._check(example, labels[labels != IGNORED], whole=length < self.max_length)
            record = record.followed_by(example["id"], ids[:length], labels[:length])
        self.records.append(record)
        # Padding is on the right, where causal attention never looks: without a mask the fast kernels apply.
        del batch["attention_mask"]
        return batch

    def _check(self, example: dict[str, Any], trained: torch.Tensor, whole: bool) -> None:
        """The tokens that carry loss spell the assistant's turns with the end of each, or, in an example that may have been
        cut at max_length, a beginning of them, perhaps with half a character."""
        turns = [turn["content"] for turn in example["messages"] if turn["role"] == "assistant"]
        for token in (END_OF_TEXT, *CHATML_TOKENS):
            turns = [turn.replace(token, " ") for turn in turns]
        answer = "".join(turn + self.tokenizer.eos_token for turn in turns)
        text = self.tokenizer.decode(trained, clean_up_tokenization_spaces=False)
        if not (text == answer if whole else answer.startswith(text.rstrip("\ufffd"))):
            raise TrellisError(
                f"sft: in example {example['id']} the loss falls on other tokens than those of the assistant's turns"
            )


def _link(before: str, content: bytes) -> str:
    return hashlib.sha256(bytes.fromhex(before) + content).hexdigest()
