"""An article of Structured Wikipedia: title, short description, infoboxes as JSON, then the text by sections.

An infobox is one JSON object from field names to values, its named groups one level down; a field that has several values,
or comes several times, has a list. The JSON Lines of 2024 hold infoboxes and sections as they are, the later parquet files
as strings of JSON.
"""

import json
import re
from typing import Any

from pydantic import Json

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars

DEEPEST = 6  # headings


class Part(Row):
    type: str | None = None
    name: str | None = None
    value: str | None = None
    values: list[str | None] | None = None
    has_parts: list["Part"] | None = None


Parts = list[Part] | Json[list[Part] | None] | None


class Shape(Row):
    name: str
    abstract: str | None = None
    description: str | None = None
    infoboxes: Parts = None
    sections: Parts = None
    identifier: Any = None
    url: Any = None


def render(native_id: str, row: Shape) -> Raw | str:
    sections = row.sections or []
    lead = [block for part in sections if _is_lead(part) for block in _blocks(part.has_parts, 2)]
    body = [block for part in sections if not _is_lead(part) for block in _block(part, 2)]
    abstract = (row.abstract or "").strip()
    # The abstract is the first section's text over again, cut short or not: what is in both is given once.
    if _squeezed(abstract) in _squeezed(" ".join(lead)):
        abstract = ""
    lead = [block for block in lead if not abstract or _squeezed(block) not in _squeezed(abstract)]
    boxes = [json.dumps(box, ensure_ascii=False) for part in row.infoboxes or [] if (box := _infobox(part))]
    blocks = [f"# {row.name.strip()}", (row.description or "").strip()]
    blocks += [f"<infobox>{box}</infobox>" for box in boxes]
    blocks += [abstract, *lead, *body]
    if not (abstract or lead or body or boxes):
        return "incomplete"
    meta = scalars(title=row.name, origin=row.identifier, url=row.url)
    return Raw(native_id, "\n\n".join(block for block in blocks if block), meta)


def _is_lead(part: Part) -> bool:
    return (part.name or "").strip().lower() == "abstract"


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _blocks(parts: list[Part] | None, depth: int) -> list[str]:
    return [block for part in parts or [] for block in _block(part, depth)]


def _block(part: Part, depth: int) -> list[str]:
    """A paragraph, a list, or a section with what is in it; nothing where there is no text."""
    if (part.type or "").endswith("list"):
        items = _items(part.has_parts, part.type == "ordered_list", 0)
        return ["\n".join(items)] if items else []
    value = (part.value or "").strip()
    inner = _blocks(part.has_parts, depth + (part.type == "section"))
    if part.type == "section" and part.name and part.name.strip() and (inner or value):
        return [f"{'#' * min(depth, DEEPEST)} {part.name.strip()}", *([value] if value else []), *inner]
    return [*([value] if value else []), *inner]


def _items(parts: list[Part] | None, ordered: bool, level: int) -> list[str]:
    lines: list[str] = []
    number = 0
    for part in parts or []:
        if (part.type or "").endswith("list"):
            lines += _items(part.has_parts, part.type == "ordered_list", level + 1)
            continue
        if text := " ".join((part.value or "").split()):
            number += 1
            lines.append(f"{'  ' * level}{f'{number}.' if ordered else '-'} {text}")
        lines += _items(part.has_parts, False, level)
    return lines


def _infobox(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in part.has_parts or []:
        name, group = (each.name or "").strip(), _fields(each)
        if each.type == "field":
            _join(found, name, _value(each))
        if name:
            _join(found, name, group)
        else:
            for key, value in group.items():
                _join(found, key, value)
    return found


def _fields(part: Part) -> dict[str, Any]:
    """All fields below a part, however deep."""
    found: dict[str, Any] = {}
    for each in part.has_parts or []:
        if each.type == "field":
            _join(found, (each.name or "").strip(), _value(each))
        for key, value in _fields(each).items():
            _join(found, key, value)
    return found


def _value(part: Part) -> str | list[str]:
    values = [value.strip() for value in part.values or [] if value and value.strip()]
    return values if len(values) > 1 else (part.value or "").strip() or "".join(values)


def _join(into: dict[str, Any], name: str, value: Any) -> None:
    """Adds a value, if there is one, to those that the name already has."""
    if not name or not value:
        return
    if name in into:
        before, more = (each if isinstance(each, list) else [each] for each in (into[name], value))
        value = before + more
    into[name] = value
