"""The schemas of the evaluation texts, by fingerprint, by property and by structure."""

from collections import Counter, defaultdict

from trellis.contamination.schemas import Fingerprint, find_schemas
from trellis.experiment.decontamination import Decontamination

# Fewer properties are alike by chance: in name under likeness, in structure under other names.
FEWEST_PROPERTIES = {"names": 5, "structure": 4}


class SchemaIndex:
    """`members` are the places of texts whose schema holds enough to be told from others."""

    def __init__(self, texts: list[str], rules: Decontamination) -> None:
        self.rules = rules
        self.exact: dict[str, int] = {}
        self.structure: dict[str, int] = {}
        self.sets: list[tuple[frozenset[str], int]] = []
        self.postings: dict[str, list[int]] = defaultdict(list)
        self.members: set[int] = set()
        for place, text in enumerate(texts):
            for schema in find_schemas(text):
                if not schema.inner:
                    self._add(schema, place)

    def matches(self, text: str) -> dict[int, tuple[str, float]]:
        """The places of the evaluation texts that a text gives away: how, and the share of common properties."""
        found: dict[int, tuple[str, float]] = {}
        for schema in find_schemas(text) if self.members else []:
            exact = [self.exact[key] for key in schema.exact(self.rules.schema_bits) if key in self.exact]
            if exact:
                found.setdefault(min(exact), ("schema", 1.0))
            elif (place := self.structure.get(schema.structure)) is not None and self._structured(schema):
                found.setdefault(place, ("structure", 1.0))
            else:
                for place, share in self._alike(schema):
                    found.setdefault(place, ("names", share))
        return found

    def _add(self, schema: Fingerprint, place: int) -> None:
        for key in schema.exact(self.rules.schema_bits):
            self.members.add(place)
            self.exact.setdefault(key, place)
        if schema.bits >= self.rules.schema_bits and len(schema.properties) >= FEWEST_PROPERTIES["names"]:
            for entry in schema.properties:
                self.postings[entry].append(len(self.sets))
            self.sets.append((schema.properties, place))
        if self._structured(schema):
            self.structure.setdefault(schema.structure, place)

    def _structured(self, schema: Fingerprint) -> bool:
        enough = schema.structure_bits >= self.rules.schema_bits
        return enough and len(schema.properties) >= FEWEST_PROPERTIES["structure"]

    def _alike(self, schema: Fingerprint) -> list[tuple[int, float]]:
        """The texts with a schema of similar properties (Jaccard), the most similar first. A set that is similar enough
        misses few: one of any `prefix` of them is common, and the rarest lead to the fewest others."""
        properties, similarity = schema.properties, self.rules.schema_similarity
        rarest = sorted(properties, key=lambda entry: (len(self.postings.get(entry, ())), entry))
        prefix = int((1 - similarity) * len(properties) + 1e-9) + 1
        candidates = {number for entry in rarest[:prefix] for number in self.postings.get(entry, ())}
        shares: Counter[int] = Counter()
        for number in candidates:
            others, place = self.sets[number]
            share = len(properties & others) / len(properties | others)
            if share >= similarity:
                shares[place] = max(shares[place], share)
        return sorted(shares.items(), key=lambda item: (-item[1], item[0]))
