"""Country records: one document per country and section, its short fields as a JSON infobox, its long ones as prose.

A member is one country: sections of nested objects, in which a `text` is the value of the keys above it. HTML in the
values is taken out.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from trellis.download.archive import Archive, Raw

LICENCE = "US-government public domain"
PROSE_CHARS = 200


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        record = archive.json(member, dict[str, dict[str, Any]])
        if record is None:
            continue
        country = _name(record)
        if country is None:
            archive.reject("unnamed")
            continue
        for section, content in record.items():
            meta = {"country": country, "section": section}
            yield Raw(f"{member}:{section}", _render(country, section, content), meta, LICENCE)


def _name(record: dict[str, dict[str, Any]]) -> str | None:
    """The name in common use, or the official one where there is no other (value "none")."""
    names = dict(_values(record.get("Government", {}).get("Country name", {}), ""))
    for form in ("conventional short form", "conventional long form"):
        name = names.get(form, "none")
        if name != "none":
            return name
    return None


def _render(country: str, section: str, content: dict[str, Any]) -> str:
    fields = list(_values(content, ""))
    short = {key: value for key, value in fields if len(value) < PROSE_CHARS}
    parts = [f"# {country}: {section}"]
    if short:
        parts.append(json.dumps(short, ensure_ascii=False))
    parts += [f"{key}: {value}" for key, value in fields if len(value) >= PROSE_CHARS]
    return "\n\n".join(parts)


def _values(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """(key, value) of every text below a node; keys are joined with a colon, `text` adds nothing to its key."""
    if isinstance(node, str):
        value = _plain(node)
        if value:
            yield key, value
    elif isinstance(node, dict):
        for name, inner in node.items():
            below = key if name == "text" else f"{key}: {name.strip()}" if key else name.strip()
            yield from _values(inner, below)


def _plain(markup: str) -> str:
    text = re.sub(r"<br\s*/?>|</p>", "\n", markup, flags=re.IGNORECASE)
    text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)
