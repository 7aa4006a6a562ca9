"""A whole file that is one text."""

from trellis.download.archive import Raw, Row


class Shape(Row):
    text: str


def render(native_id: str, row: Shape) -> Raw | str:
    return Raw(native_id, row.text)
