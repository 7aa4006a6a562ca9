"""Which documents give an evaluation text away: their n-grams cover it, or, if it is short, it stands there whole."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from trellis.filter.ngrams import Flat, hash_words, ngrams

# Texts of fewer words occur by chance: nothing can be said of them.
FEWEST_WORDS = 5


class Reference:
    """The evaluation texts, indexed by n-gram. A text of at least n words is given away by a document whose n-grams
    cover `coverage` of its words; a shorter one (of at least FEWEST_WORDS) by a document that contains all its words in
    sequence; still shorter ones are counted in `unchecked`."""

    def __init__(self, records: Iterable[dict[str, str]], n: int, coverage: float) -> None:
        records = list(records)
        self.ids = [record["id"] for record in records]
        self.suites = [record["suite"] for record in records]
        self.coverage = coverage
        words = hash_words([record["text"] for record in records])
        self.lengths = np.diff(words.offsets)
        self.unchecked = int((self.lengths < FEWEST_WORDS).sum())
        self.indices = [_Index(words, size, self.lengths == size) for size in range(FEWEST_WORDS, n)]
        self.indices.append(_Index(words, n, self.lengths >= n))

    def hits(self, words: Flat) -> list[int | None]:
        """Per document the text that it covers most, as a place in `ids` (the first among equals), or None."""
        covered: dict[tuple[int, int], set[int]] = defaultdict(set)
        for index in self.indices:
            for document, text, place in index.matches(words):
                covered[document, text].update(range(place, place + index.n))
        best: list[tuple[float, int] | None] = [None] * (len(words.offsets) - 1)
        for (document, text), places in covered.items():
            found = (-len(places) / int(self.lengths[text]), text)
            if -found[0] >= self.coverage and (best[document] is None or found < best[document]):
                best[document] = found
        return [found[1] if found else None for found in best]


class _Index:
    """The n-grams of the texts in `members`, sorted by hash."""

    def __init__(self, words: Flat, n: int, members: np.ndarray) -> None:
        self.n = n
        grams = ngrams(words, n)
        counts = np.diff(grams.offsets)
        text = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(grams.hashes)) - np.repeat(grams.offsets[:-1], counts)
        kept = members[text]
        order = np.argsort(grams.hashes[kept], kind="stable")
        self.hashes, self.text, self.place = grams.hashes[kept][order], text[kept][order], place[kept][order]

    def matches(self, words: Flat) -> Iterator[tuple[int, int, int]]:
        """(document, text, first word of the text's n-gram) wherever a document has an n-gram of a text."""
        if not len(self.hashes):
            return
        grams = ngrams(words, self.n)
        low = np.searchsorted(self.hashes, grams.hashes)
        found = np.flatnonzero(self.hashes[np.minimum(low, len(self.hashes) - 1)] == grams.hashes)
        documents = np.searchsorted(grams.offsets, found, side="right") - 1
        for document, hashed, start in zip(documents, grams.hashes[found], low[found], strict=True):
            for entry in range(start, np.searchsorted(self.hashes, hashed, side="right")):
                yield int(document), int(self.text[entry]), int(self.place[entry])
