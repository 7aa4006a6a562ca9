"""The parts of a large schema document that are schemas of objects, each made to stand by itself.

A part holds what decides validity, in draft 2020-12, and the definitions that it refers to; titles, descriptions and what
only editors read are left out, so that a part fits a small context. A part that says something which 2020-12 says in
another way (`dependencies`, a list of `items`) is left out, and so is one that refers beyond its document.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from trellis.evaluate.validator import MANY, ONE, resolved, subschemas

KEPT = {
    *("type", "enum", "const", "required", "format", "pattern", "dependentRequired", "uniqueItems", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "minContains", "maxContains"),
}
OTHERWISE_SAID = {"additionalItems", "dependencies", "$dynamicRef", "$recursiveRef", "$anchor", "$id", "id"}
# In these drafts nothing beside a $ref counts.
OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")


def parts(document: Any, longest: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(JSON pointer, schema) of the document and of everything in it that is a schema with properties, of at most about
    `longest` characters."""
    old = any(draft in str(document.get("$schema")) for draft in OLD_DRAFTS) if isinstance(document, dict) else False
    for pointer, node in _objects(document):
        made = _Part(document, longest, old)
        try:
            yield pointer, made.whole(node)
        except (KeyError, _Unusable):
            continue


def _objects(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    waiting = [("", document)]
    while waiting:
        pointer, node = waiting.pop()
        if isinstance(node, dict) and isinstance(node.get("properties"), dict) and node["properties"]:
            yield pointer, node
        waiting += reversed([(pointer + step, child) for _, step, child in subschemas(node)])


class _Unusable(Exception):
    """Cannot be made to stand by itself."""


class _Part:
    """One part in the making: `names` are the definitions that it needs, by where they stand in the document."""

    def __init__(self, document: dict[str, Any], longest: int, old: bool) -> None:
        self.document, self.left, self.old = document, longest, old
        self.names: dict[str, str] = {}

    def whole(self, node: dict[str, Any]) -> dict[str, Any]:
        made, definitions = self._copy(node), {}
        while len(definitions) < len(self.names):
            reference = list(self.names)[len(definitions)]
            definitions[self.names[reference]] = self._copy(resolved(self.document, reference))
        return {**made, "$defs": definitions} if definitions else made

    def _copy(self, node: Any) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or OTHERWISE_SAID & node.keys() or isinstance(node.get("items"), list):
            raise _Unusable
        if "$ref" in node:
            beside = {} if self.old else {key: value for key, value in node.items() if key != "$ref"}
            return {"$ref": f"#/$defs/{self._named(node['$ref'])}", **self._copy(beside)}
        made: dict[str, Any] = {}
        for key, value in node.items():
            self._spend(len(key))
            if key in KEPT:
                made[key] = value
                self._spend(len(str(value)))
            elif key in ONE:
                made[key] = self._copy(value)
            elif key in MANY and isinstance(value, list):
                made[key] = [self._copy(child) for child in value]
            elif key in ("properties", "patternProperties", "dependentSchemas") and isinstance(value, dict):
                self._spend(sum(map(len, value)))
                made[key] = {name: self._copy(child) for name, child in value.items()}
        return made

    def _spend(self, characters: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise _Unusable

    def _named(self, reference: Any) -> str:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise _Unusable
        self._spend(len(reference))
        if reference not in self.names:
            stem = "".join(c for c in reference.rsplit("/", 1)[-1] if c.isalnum() or c in "_-")
            taken = set(self.names.values())
            names = itertools.chain([stem or "root"], (f"{stem}{number}" for number in itertools.count(2)))
            self.names[reference] = next(name for name in names if name not in taken)
        return self.names[reference]
