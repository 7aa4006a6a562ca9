"""Encyclopedia articles in structured form: title, short description, an infobox as JSON, and the opening text.

A member is one JSON object from titles to articles; `meta.topic` is the encyclopedia's own classification, and is
kept out of the text: a classifier that is to find it must not read it there.
"""

import json
from collections.abc import Iterator

from trellis.download.archive import Archive, Raw, Row


class Article(Row):
    title: str
    extract: str | None
    description: str
    topic: str


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for key, article in sorted((archive.json(member, dict[str, Article]) or {}).items()):
            yield Raw(f"{member}:{key}", _render(article), {"topic": article.topic})


def _render(article: Article) -> str | None:
    if article.extract is None:
        return None
    infobox = {"title": article.title, "description": article.description}
    parts = [f"# {article.title}", article.description, json.dumps(infobox, ensure_ascii=False), article.extract]
    return "\n\n".join(part for part in parts if part)
