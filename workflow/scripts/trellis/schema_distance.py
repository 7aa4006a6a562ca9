"""How near two JSON Schemas are: the Jaccard similarity of what they say stands where.

    known = SchemaSet(schemas)
    similarity, index = known.nearest(others)          # of each other, its nearest among the known
    known.connected(others, 0.5)                       # the known ones that hang together with any other

A schema is a set of elements, one for each (path, type) and for each keyword beside a type; names of properties are part of
the path, descriptions and the order of keys are not. Similarities are exact: sparse products of membership matrices, a block
of rows at a time.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

# As function-calling collections spell types; JSON Schema has one word for each.
TYPES = {
    **{"dict": "object", "hashmap": "object", "list": "array", "tuple": "array", "arraylist": "array"},
    **{"str": "string", "int": "integer", "long": "integer", "float": "number", "double": "number", "bool": "boolean"},
}
# Words for people, and where a schema lies: they say nothing of what it accepts.
SILENT = {
    "title",
    "description",
    "$comment",
    "examples",
    "example",
    "default",
    "$schema",
    "$id",
    "deprecated",
    "optional",
}
# What nearly every schema has, or what its paths tell already.
STRUCTURE = {"type", "properties", "items", "required", "additionalProperties", "$defs", "definitions", "strict"}
ALTERNATIVES = ("anyOf", "oneOf", "allOf", "not", "if", "then", "else")
DEEPEST = 32
# Nodes of a schema that are read, references followed: one that refers to itself twice would double at every level.
MOST_NODES = 5_000
# Rows of others compared at a time: bounds a product at ROWS x known numbers.
ROWS = 500
# Of float32 quotients: 1/2 must count as 0.5.
TOLERANCE = 1e-6

# (path, type, keyword): the keyword is empty where the element says that a value of the type stands there.
Elements = frozenset[tuple[str, str, str]]


def elements(schema: Any) -> Elements:
    """What a schema says, path by path: (`/user/name`, `string`, ``), (`/user/name`, `string`, `enum`)."""
    return frozenset(_elements(schema, schema, "", 0, itertools.count()))


def keywords(schema: Any) -> frozenset[str]:
    """The keywords that a schema uses, but for words for people and the names of its properties."""
    return frozenset(keyword for _, _, keyword in elements(schema) if keyword)


def names(schema: Any) -> frozenset[str]:
    """The names of the properties in a schema."""
    return frozenset(part for path, _, _ in elements(schema) for part in path.split("/")) - {"", "*", "~"}


def canonical(schema: Any) -> str:
    """One spelling for schemas that accept the same for the same reasons: without words for people, keys and lists of
    alternatives sorted, types in JSON Schema's words, local references in place."""
    return _spelled(_canonical(schema, schema, 0, itertools.count()))


def shape(schema: Any) -> str:
    """The canonical spelling with names replaced by their rank: the same for a schema whose properties were renamed."""
    return _spelled(_unnamed(_canonical(schema, schema, 0, itertools.count())))


class SchemaSet:
    """Schemas, given by their elements, that others are compared with."""

    def __init__(self, known: Sequence[Elements]) -> None:
        self.columns: dict[tuple[str, str, str], int] = {}
        for each in known:
            for element in sorted(each):
                self.columns.setdefault(element, len(self.columns))
        self.matrix = self._matrix(known)
        self.sizes = _sizes(known)

    def nearest(self, others: Sequence[Elements]) -> tuple[np.ndarray, np.ndarray]:
        """(similarity float32, place int64 among the known) of each other's nearest; the first among equals, 0 and -1 where
        nothing is shared."""
        similarity, place = np.zeros(len(others), np.float32), np.full(len(others), -1, np.int64)
        for start, block in self._similar(self._matrix(others), _sizes(others)):
            # A sparse argmax breaks ties by storage order, a dense one by place.
            dense = block.toarray()
            best = dense.argmax(axis=1)
            part = slice(start, start + len(best))
            similarity[part] = dense[np.arange(len(best)), best]
            place[part] = np.where(similarity[part] > 0, best, -1)
        return similarity, place

    def connected(self, others: Sequence[Elements], least: float) -> np.ndarray:
        """Which of the known ones (bool) are linked to any other by steps of at least this similarity, each over a known
        one."""
        reached = np.zeros(len(self.sizes), bool)
        frontier, sizes = self._matrix(others), _sizes(others)
        while frontier.shape[0]:
            hit = np.zeros(len(self.sizes), bool)
            for _, block in self._similar(frontier, sizes):
                hit[block.indices[block.data >= least - TOLERANCE]] = True
            fresh = np.flatnonzero(hit & ~reached)
            reached |= hit
            frontier, sizes = self.matrix[fresh], self.sizes[fresh]
        return reached

    def _similar(self, others: sparse.csr_matrix, sizes: np.ndarray) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Similarities of others to the known ones, ROWS of them at a time."""
        transposed = self.matrix.T.tocsr()
        for start in range(0, others.shape[0] if len(self.sizes) else 0, ROWS):
            part = slice(start, start + ROWS)
            common = (others[part] @ transposed).tocsr()
            mine = np.repeat(sizes[part], np.diff(common.indptr))
            common.data = common.data / (mine + self.sizes[common.indices] - common.data)
            yield start, common

    def _matrix(self, schemas: Sequence[Elements]) -> sparse.csr_matrix:
        places = [[self.columns[each] for each in sorted(schema) if each in self.columns] for schema in schemas]
        ends = np.cumsum([0, *map(len, places)])
        indices = np.array([place for row in places for place in row], np.int64)
        return sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, ends), shape=(len(schemas), max(len(self.columns), 1))
        )


def _sizes(schemas: Sequence[Elements]) -> np.ndarray:
    return np.array([len(each) for each in schemas], np.float32)


def _elements(node: Any, root: Any, path: str, depth: int, read: Iterator[int]) -> Iterator[tuple[str, str, str]]:
    if depth > DEEPEST or next(read) >= MOST_NODES or not isinstance(node := _resolved(node, root), dict):
        return
    kind = _type(node)
    if path and kind:
        yield path, kind, ""
    for key in node:
        if key not in SILENT | STRUCTURE:
            yield path, kind, key
    for name, child in _children(node, "properties"):
        yield from _elements(child, root, f"{path}/{name}", depth + 1, read)
    for item in node["items"] if isinstance(node.get("items"), list) else [node.get("items")]:
        yield from _elements(item, root, f"{path}/*", depth + 1, read)
    for key in ALTERNATIVES:
        options = node.get(key)
        for option in options if isinstance(options, list) else [options]:
            yield from _elements(option, root, path, depth + 1, read)
    for key in ("additionalProperties", "patternProperties"):
        yield from _elements(node.get(key), root, f"{path}/~", depth + 1, read)


def _canonical(node: Any, root: Any, depth: int, read: Iterator[int]) -> Any:
    if isinstance(node, list):
        return [_canonical(item, root, depth, read) for item in node]
    if not isinstance(node := _resolved(node, root), dict):
        return node
    if depth > DEEPEST or next(read) >= MOST_NODES:
        return {}
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in SILENT or key in ("$defs", "definitions"):
            continue
        if key in ("properties", "patternProperties") and isinstance(value, dict):
            made[key] = {name: _canonical(child, root, depth + 1, read) for name, child in value.items()}
        elif key == "type":
            made[key] = _type(node)
        elif key in ("enum", "required") and isinstance(value, list):
            made[key] = sorted(map(_spelled, value))
        elif key == "const":
            made[key] = value
        elif key in ALTERNATIVES and isinstance(value, list):
            made[key] = sorted((_canonical(item, root, depth + 1, read) for item in value), key=_spelled)
        else:
            made[key] = _canonical(value, root, depth + 1, read)
    return made


def _unnamed(node: Any) -> Any:
    if isinstance(node, list):
        return [_unnamed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for key, value in node.items():
        if key == "properties" and isinstance(value, dict):
            made[key] = sorted((_unnamed(child) for child in value.values()), key=_spelled)
        elif key == "required" and isinstance(value, list):
            made[key] = len(value)
        else:
            made[key] = _unnamed(value)
    return made


def _resolved(node: Any, root: Any) -> Any:
    """What a local reference points to, followed a few steps; anything else as it is."""
    for _ in range(DEEPEST):
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return node
        target = root
        for part in reference[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            target = target.get(part) if isinstance(target, dict) else None
        node = target
    return None


def _children(node: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node.get(key), dict):
        yield from node[key].items()


def _type(node: dict[str, Any]) -> str:
    declared = node.get("type")
    if declared is None and isinstance(node.get("properties"), dict):
        return "object"
    kinds = declared if isinstance(declared, list) else [] if declared is None else [declared]
    return "|".join(sorted(TYPES.get(str(kind).lower(), str(kind).lower()) for kind in kinds))


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
