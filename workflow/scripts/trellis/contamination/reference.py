"""The evaluation texts, indexed: which texts give one of them away, and how."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trellis.contamination.schema_index import SchemaIndex
from trellis.contamination.seeds import Seeds
from trellis.experiment.decontamination import Decontamination
from trellis.records import read_records
from trellis.words import Flat, hash_words, ngrams, roll

# Texts of fewer words occur by chance: by their words, nothing can be said of them.
FEWEST_WORDS = 5

How = Literal["words", "schema", "names", "structure"]


@dataclass(frozen=True)
class Hit:
    """The evaluation text that a text gives away. `how`: its words, or a schema of it (the same one; one with most of its
    properties; the same structure under other names). `share` is how much of it was found, 0..1."""

    id: str
    suite: str
    how: How
    share: float


@dataclass(frozen=True)
class Match:
    """A pair of places in the texts and in the reference; `shares` are the words covered, by n-gram size."""

    text: int
    reference: int
    how: How
    shares: dict[int, float]


class Reference:
    """The evaluation texts under the rules of an experiment. A text of at least n words is given away by a text whose
    n-grams cover `coverage` of its words, a shorter one by a text that holds all of it in sequence. `unchecked` is how
    many have fewer than FEWEST_WORDS words and no schema that could be told from others; `schemas` how many have one."""

    def __init__(self, records: Iterable[dict[str, str]], rules: Decontamination) -> None:
        records = list(records)
        self.ids = [record["id"] for record in records]
        self.suites = [record["suite"] for record in records]
        self.rules = rules
        self.sizes = sorted({rules.ngram, *rules.sensitivity})
        self.words = hash_words([record["text"] for record in records])
        self.lengths = np.diff(self.words.offsets)
        # A match of a longer n-gram holds one of each shorter: the shortest size finds the candidates of all.
        shortest = self.sizes[0]
        self.seeds = [Seeds(self.words, shortest, self.lengths >= max(shortest, FEWEST_WORDS))]
        if shortest > FEWEST_WORDS:
            short = (self.lengths >= FEWEST_WORDS) & (self.lengths < shortest)
            self.seeds.append(Seeds(self.words, FEWEST_WORDS, short))
        self.grams = {n: ngrams(self.words, n) for n in self.sizes}
        self.schema_index = SchemaIndex([record["text"] for record in records], rules)
        self.schemas = len(self.schema_index.members)
        unknown = set(np.flatnonzero(self.lengths < FEWEST_WORDS).tolist()) - self.schema_index.members
        self.unchecked = len(unknown)

    @classmethod
    def load(cls, path: Path, rules: Decontamination) -> "Reference":
        """Reads `reference.jsonl`."""
        return cls(read_records(path), rules)

    def hits(self, texts: list[str]) -> list[Hit | None]:
        """What each text gives away most of, or None."""
        return self.best(self.matches(texts, hash_words(texts)), len(texts), self.rules.ngram)

    def matches(self, texts: list[str], words: Flat) -> list[Match]:
        """Every pair that any n-gram size or schema gives away; `words` are those of `texts`."""
        return [*self._by_words(words), *self._by_schema(texts)]

    def best(self, matches: list[Match], texts: int, n: int) -> list[Hit | None]:
        """For each of `texts` texts the match of which most was found by n-grams of size `n` or by schema: the first in
        the reference among equals."""
        found: list[tuple[float, int, Match] | None] = [None] * texts
        for match in matches:
            share = match.shares.get(n, 0.0)
            entry = (-share, match.reference, match)
            if share and (found[match.text] is None or entry[:2] < found[match.text][:2]):
                found[match.text] = entry
        return [
            None if entry is None else Hit(self.ids[entry[1]], self.suites[entry[1]], entry[2].how, -entry[0])
            for entry in found
        ]

    def _by_words(self, words: Flat) -> Iterator[Match]:
        candidates = defaultdict(list)
        for seeds in self.seeds:
            for text, reference in seeds.candidates(words).tolist():
                candidates[text].append(reference)
        for text, references in sorted(candidates.items()):
            document = _Grams(words.of(text))
            for reference in references:
                shares = {n: self._covered(document, reference, n) for n in self.sizes}
                shares = {n: share for n, share in shares.items() if share >= self.rules.coverage}
                if shares:
                    yield Match(text, reference, "words", shares)

    def _covered(self, document: "_Grams", reference: int, n: int) -> float:
        """The share of a reference text's words that lie in its n-grams of a document, or in the whole of it."""
        length = int(self.lengths[reference])
        size = min(n, length)
        grams = self.grams[n].of(reference) if size == n else roll(self.words.of(reference), size)
        starts = np.flatnonzero(document.holds(grams, size))
        border = np.zeros(length + 1, np.int64)
        border[starts] += 1
        border[starts + size] -= 1
        return float((np.cumsum(border)[:-1] > 0).sum() / length)

    def _by_schema(self, texts: list[str]) -> Iterator[Match]:
        for text, content in enumerate(texts):
            for reference, (how, share) in sorted(self.schema_index.matches(content).items()):
                yield Match(text, reference, how, dict.fromkeys(self.sizes, share))


class _Grams:
    """The n-grams of one document, sorted, of any size that is asked for."""

    def __init__(self, words: np.ndarray) -> None:
        self.words, self.sorted = words, {}

    def holds(self, grams: np.ndarray, size: int) -> np.ndarray:
        """bool [grams]"""
        if size not in self.sorted:
            self.sorted[size] = np.sort(roll(self.words, size))
        own = self.sorted[size]
        if not len(own):
            return np.zeros(len(grams), bool)
        return own[np.minimum(np.searchsorted(own, grams), len(own) - 1)] == grams
