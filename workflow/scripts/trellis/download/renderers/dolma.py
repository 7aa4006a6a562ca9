"""The Dolma format, with the licence of each document in its metadata: the Common Pile."""

from typing import Any

from pydantic import Json

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars


class Metadata(Row):
    license: str | None = None
    url: Any = None
    title: Any = None
    author: Any = None


class Shape(Row):
    text: str | None
    id: Any = None
    source: Any = None
    created: Any = None
    metadata: Metadata | Json[Metadata | None] | None = None


def render(native_id: str, row: Shape) -> Raw | str:
    said = row.metadata or Metadata()
    meta = scalars(
        origin=row.id, source=row.source, created=row.created, url=said.url, title=said.title, author=said.author
    )
    return Raw(native_id, row.text, meta, said.license)
