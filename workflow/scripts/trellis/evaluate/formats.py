"""Reading YAML, TOML, XML and CSV into the values of JSON: strictly, and in bounded time whatever the text.

Text without types (of CSV and XML, and plain in YAML) is read as YAML 1.2's core schema reads it: null, true and false,
decimal numbers, and everything else a string.

yaml    one document, a mapping or a sequence (any prose is a scalar); no anchor, alias, tag, or key twice
toml    a document with a key; dates and times as their text
xml     no document type, so no entities of its own; the root's name does not matter. Elements that are all named `item` are
        an array; others an object or, where a name comes twice, an array of objects; an attribute is a child `@name`
csv     a line of names, no two alike, and at least one line of as many fields: an array of objects
"""

import csv
import io
import re
import tomllib
from typing import Any
from xml.parsers import expat

import yaml

from trellis.evaluate.answer import MAX_DEPTH, MAX_LENGTH, REPLACED

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONSTANTS = dict.fromkeys(("", "~", "null", "Null", "NULL"))
CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
ITEM = "item"


class Unreadable(ValueError):
    """The text is none in its format, or it is not read because of what it would cost."""


def read(form: str, text: str) -> Any:
    """The value of a text in `form`. Raises Unreadable."""
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"longer than {MAX_LENGTH:,} characters")
    if REPLACED in text:
        raise Unreadable("bytes that are no UTF-8")
    try:
        return READERS[form](text)
    except (ValueError, RecursionError, yaml.YAMLError, expat.ExpatError, csv.Error) as error:
        raise Unreadable(str(error)) from None


def plain_scalar(text: str) -> Any:
    """The value of text without a type."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def _read_yaml(text: str) -> Any:
    """Built from the parser's events, because a loader would follow aliases and nesting wherever they lead."""
    # What is open, outermost first: (whether it is a mapping, its parts so far); a mapping's are keys and values in turn.
    stack: list[tuple[bool, list[Any]]] = [(False, [])]
    for event in yaml.parse(text, Loader=Loader):
        is_mapping, parts = stack[-1]
        match event:
            case yaml.NodeEvent(anchor=str()):
                raise Unreadable("an anchor or an alias")
            case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.tag is not None:
                raise Unreadable("a tag")
            case yaml.ScalarEvent():
                is_key = is_mapping and len(parts) % 2 == 0
                parts.append(event.value if is_key or not event.implicit[0] else plain_scalar(event.value))
            case yaml.CollectionStartEvent():
                if len(stack) > MAX_DEPTH:
                    raise Unreadable(f"nested deeper than {MAX_DEPTH}")
                stack.append((isinstance(event, yaml.MappingStartEvent), []))
            case yaml.CollectionEndEvent():
                stack.pop()
                stack[-1][1].append(_mapping(parts) if is_mapping else parts)
    documents = stack[0][1]
    if len(documents) != 1 or not isinstance(documents[0], dict | list):
        raise Unreadable("not one document that is a mapping or a sequence")
    return documents[0]


def _mapping(parts: list[Any]) -> dict[str, Any]:
    keys = parts[::2]
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise Unreadable("a key that is no scalar, or one that comes twice")
    return dict(zip(keys, parts[1::2], strict=True))


def _read_toml(text: str) -> Any:
    # The parser takes quadratic time for a dotted key.
    if any(line.count(".") > MAX_DEPTH for line in text.split("\n")):
        raise Unreadable(f"a key of more than {MAX_DEPTH} parts")
    value = tomllib.loads(text)
    if not value:
        raise Unreadable("no key in it")
    return _plain(value)


def _plain(value: Any, depth: int = 1) -> Any:
    if depth > MAX_DEPTH:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {key: _plain(child, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child, depth + 1) for child in value]
    return value if isinstance(value, str | int | float) else str(value)


def _read_xml(text: str) -> Any:
    parser = expat.ParserCreate()
    # Each element's children, (name, value), with what text it has.
    stack: list[tuple[list[tuple[str, Any]], list[str]]] = [([], [])]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}")
        stack.append(([(f"@{key}", plain_scalar(value.strip())) for key, value in attributes.items()], []))

    def end(name: str) -> None:
        children, texts = stack.pop()
        stack[-1][0].append((name, _element(children, "".join(texts).strip())))

    def refuse(*_: Any) -> None:
        raise Unreadable("a document type")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda data: stack[-1][1].append(data)
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)
    return stack[0][0][0][1]


def _element(children: list[tuple[str, Any]], text: str) -> Any:
    if not children:
        return plain_scalar(text) if text else ""
    children = [*children, ("#text", text)] if text else children
    if all(name == ITEM for name, _ in children):
        return [value for _, value in children]
    whole = dict(children)
    return whole if len(whole) == len(children) else [{name: value} for name, value in children]


def _read_csv(text: str) -> Any:
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    if not rows or len(set(header)) != len(header) or any(len(row) != len(header) for row in rows):
        raise Unreadable("not a line of names and lines of as many fields")
    return [dict(zip(header, (plain_scalar(cell.strip()) for cell in row), strict=True)) for row in rows]


READERS = {"yaml": _read_yaml, "toml": _read_toml, "xml": _read_xml, "csv": _read_csv}
