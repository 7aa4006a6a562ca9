"""Real property names with their types, read out of the wheels that carry schemas, for the two sides of the split.

bfcl-eval's function definitions serve both sides, by category; cfn-lint's resource schemas only the training side. A name
that occurs on both sides, in whatever spelling, serves neither.
"""

import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trellis.address import canonical_json
from trellis.chat import answer_json
from trellis.errors import TrellisError
from trellis.evaluate.bfcl import CATEGORIES, as_tool, read_entries

TRAINING_CATEGORIES = ("irrelevance", "multiple", "parallel", "parallel_multiple")
HELD_OUT_CATEGORIES = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_relevance",
    "live_irrelevance",
)
# BFCL writes the types of Python, Java and JavaScript where JSON Schema has one.
SCALARS = {
    "string": "string",
    "String": "string",
    "integer": "integer",
    "long": "integer",
    "number": "number",
    "float": "number",
    "double": "number",
    "boolean": "boolean",
    "Boolean": "boolean",
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]+")
ENUM_VALUE = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,11}")
LONGEST_ENUM = 3
KINDS = ("string", "integer", "number", "boolean", "enum", "array")


class Property(NamedTuple):
    """A property as one package has it: `spec` is the JSON Schema of its values, `kind` one of KINDS."""

    name: str
    kind: str
    spec: dict[str, Any]
    origin: str


class Vocabulary(NamedTuple):
    """The two sides' properties by kind, sorted by name; and by id the benchmark's questions found beside them, and its
    functions, each as JSON of the tool that a prompt offers."""

    training: dict[str, list[Property]]
    held_out: dict[str, list[Property]]
    questions: dict[str, str]
    functions: dict[str, str]


def read_vocabulary(wheels: dict[str, Path], longest_name: int) -> Vocabulary:
    """The vocabulary of the given wheels, by package, without names of more than `longest_name` characters.

    Raises TrellisError for a package that it cannot read.
    """
    found = {"training": [], "held_out": []}
    questions: dict[str, str] = {}
    functions: dict[str, str] = {}
    for package, path in sorted(wheels.items()):
        match package:
            case "bfcl-eval":
                for side, categories in (("training", TRAINING_CATEGORIES), ("held_out", HELD_OUT_CATEGORIES)):
                    for category in categories:
                        for entry in read_entries(path, category):
                            found[side] += _properties_of(entry["function"], f"{package}:{category}")
                            questions[entry["id"]] = _question(entry)
                functions = _functions(path)
            case "cfn-lint":
                found["training"] += _properties_of(_resources(path), package)
            case _:
                raise TrellisError(
                    f"evaluation.schemas.packages: no reader for the schemas of {package} (allowed: bfcl-eval, cfn-lint)"
                )
    return Vocabulary(*_apart(found["training"], found["held_out"], longest_name), questions, functions)


def plain(name: str) -> str:
    """A name without its spelling: `userId`, `user_id` and `UserID` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _apart(
    training: list[Property], held_out: list[Property], longest_name: int
) -> tuple[dict[str, list[Property]], ...]:
    shared = {plain(p.name) for p in training} & {plain(p.name) for p in held_out}
    return tuple(
        _by_kind([p for p in side if plain(p.name) not in shared and len(p.name) <= longest_name])
        for side in (training, held_out)
    )


def _by_kind(properties: list[Property]) -> dict[str, list[Property]]:
    """One entry a name: its most frequent definition, the first by spelling among equals."""
    definitions: dict[str, Counter[Property]] = defaultdict(Counter)
    of_text: dict[tuple[str, str], Property] = {}
    for p in properties:
        key = (p.name, canonical_json([p.kind, p.spec]))
        of_text.setdefault(key, p)
        definitions[p.name][key] += 1
    kinds: dict[str, list[Property]] = {kind: [] for kind in KINDS}
    for name in sorted(definitions):
        key = min(definitions[name], key=lambda key: (-definitions[name][key], key))
        kinds[of_text[key].kind].append(of_text[key])
    return kinds


def _properties_of(root: Any, origin: str) -> list[Property]:
    found = []
    for name, raw in walk_properties(root):
        kind_and_spec = _simplify(raw)
        if kind_and_spec and NAME.fullmatch(name):
            found.append(Property(name, *kind_and_spec, origin))
    return found


def walk_properties(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every (name, definition) under any `properties` in a document."""
    if isinstance(node, list):
        for item in node:
            yield from walk_properties(item)
    elif isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from ((name, raw) for name, raw in properties.items() if isinstance(raw, dict))
        for value in node.values():
            yield from walk_properties(value)


def _simplify(raw: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(kind, JSON Schema) of a definition, None where it is none of KINDS."""
    declared = raw.get("type")
    if isinstance(raw.get("enum"), list):
        values = [v for v in raw["enum"] if isinstance(v, str) and ENUM_VALUE.fullmatch(v)]
        values = list(dict.fromkeys(values))[:LONGEST_ENUM]
        return ("enum", {"type": "string", "enum": values}) if len(values) > 1 else None
    if not isinstance(declared, str):
        return None
    if declared in SCALARS:
        return SCALARS[declared], {"type": SCALARS[declared]}
    item = raw.get("items")
    if declared in ("array", "Array", "ArrayList", "tuple") and isinstance(item, dict):
        item_type = item.get("type")
        if isinstance(item_type, str) and item_type in SCALARS and "enum" not in item:
            return "array", {"type": "array", "items": {"type": SCALARS[item_type]}}
    return None


def _question(entry: dict[str, Any]) -> str:
    return "\n".join(message["content"] for turn in entry["question"] for message in turn)


def _functions(wheel: Path) -> dict[str, str]:
    """Each distinct function under the first entry that has it."""
    found: dict[str, str] = {}
    for category in CATEGORIES:
        for entry in read_entries(wheel, category):
            for function in entry["function"]:
                found.setdefault(answer_json(as_tool(function)), f"{entry['id']}:{function['name']}")
    return {key: text for text, key in found.items()}


def _resources(wheel: Path) -> list[Any]:
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if "/data/schemas/resources/" in name)
        return [json.loads(archive.read(name)) for name in names if name.endswith(".json")]
