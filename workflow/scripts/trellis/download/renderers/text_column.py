"""A column `text`, taken as it is: FineWeb-Edu, FineMath, peS2o, Wikipedia.

What the columns beside it say of the document goes to meta, the data set's own `id` as `origin`.
"""

from typing import Any

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars


class Shape(Row):
    text: str | None
    id: Any = None
    url: Any = None
    title: Any = None
    dump: Any = None
    source: Any = None
    language: Any = None
    language_score: Any = None
    score: Any = None
    int_score: Any = None
    token_count: Any = None
    created: Any = None
    version: Any = None


TEXT = "text"
BESIDE = {name: "origin" if name == "id" else name for name in Shape.model_fields if name != TEXT}


def render(native_id: str, row: Shape) -> Raw | str:
    return Raw(native_id, row.text, scalars(**{key: getattr(row, name) for name, key in BESIDE.items()}))
