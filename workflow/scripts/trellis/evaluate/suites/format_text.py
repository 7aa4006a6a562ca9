"""Writing a JSON value as YAML, TOML, XML or CSV: the one spelling of the gold answer. `formats` reads it back.

Values have no null and no empty container; keys are of letters, digits and `_`.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

from trellis.chat import answer_json
from trellis.evaluate.formats import ITEM

# Text that is a string in every version of YAML without quotes.
PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z ]*[A-Za-z]", re.IGNORECASE)


def write(form: str, value: Any) -> str:
    """The text of a value in `form`, without a line break at its end."""
    return WRITERS[form](value)


def _yaml(value: Any) -> str:
    return "\n".join(_yaml_lines(value))


def _yaml_lines(value: Any) -> Iterator[str]:
    for key, child in value.items() if isinstance(value, dict) else (("-", child) for child in value):
        mark = key if isinstance(value, list) else f"{key}:"
        if not isinstance(child, dict | list):
            yield f"{mark} {child if isinstance(child, str) and PLAIN.fullmatch(child) else answer_json(child)}"
        elif isinstance(value, dict):
            yield mark
            yield from (f"  {line}" for line in _yaml_lines(child))
        else:
            first, *rest = _yaml_lines(child)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _toml(value: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Of each table, what is no table comes first: what follows a table's header belongs to it."""
    plain = {key: child for key, child in value.items() if not _is_table(child)}
    parts = ["\n".join(f"{key} = {_toml_value(child)}" for key, child in plain.items())] if plain else []
    for key, child in value.items():
        inside = (*path, key)
        if isinstance(child, dict):
            parts.append(f"[{'.'.join(inside)}]\n{_toml(child, inside)}")
        elif _is_table(child):
            parts += [f"[[{'.'.join(inside)}]]\n{_toml(row, inside)}" for row in child]
    return "\n\n".join(parts)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def _toml_value(value: Any) -> str:
    # JSON's scalars are TOML's, and so are arrays of them.
    return f"[{', '.join(map(_toml_value, value))}]" if isinstance(value, list) else answer_json(value)


def _xml(value: Any) -> str:
    return "\n".join(_xml_lines("record", value))


def _xml_lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        yield f"<{name}>"
        for key, child in value.items() if isinstance(value, dict) else ((ITEM, child) for child in value):
            yield from (f"  {line}" for line in _xml_lines(key, child))
        yield f"</{name}>"
    else:
        yield f"<{name}>{escape(value if isinstance(value, str) else answer_json(value))}</{name}>"


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([row[name] if isinstance(row[name], str) else answer_json(row[name]) for name in rows[0]])
    return text.getvalue().removesuffix("\n")


WRITERS = {"yaml": _yaml, "toml": _toml, "xml": _xml, "csv": _csv}
