"""What a document is compared by: the hashes of its n-grams of words or of lines."""

import re

import numpy as np
import xxhash

from trellis.experiment.duplicates import Signature
from trellis.words import Flat, hash_words, ngrams

# A text-to-SQL document as it is rendered: three blocks, each under its heading.
SCHEMA_BLOCK = re.compile(r"SCHEMA\n(.*?)\n\n(?=QUESTION\n)", re.DOTALL)


def shingles(texts: list[str], words: Flat, rules: Signature) -> Flat:
    """The shingles of each document, repeated as often as they occur; none for a document without words. `words` are
    those of `texts`. A document of fewer than n words or lines is its own shingle."""
    groups = None
    if rules.group_by:
        keys, texts = zip(*map(_split, texts), strict=True) if texts else ((), ())
        groups = np.array([xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) for key in keys], np.uint64)
        words = hash_words(list(texts))
    units = hash_lines(texts) if rules.shingle == "lines" else words
    grams = ngrams(_padded(units, rules.ngram), rules.ngram)
    if groups is not None:
        grams = Flat(grams.hashes ^ np.repeat(groups, np.diff(grams.offsets)), grams.offsets)
    return grams


def hash_lines(texts: list[str]) -> Flat:
    """xxh3 of each line that is not empty, stripped."""
    hashes, lengths = [], [0]
    for text in texts:
        lines = [line for line in map(str.strip, text.splitlines()) if line]
        hashes += [xxhash.xxh3_64_intdigest(line.encode("utf-8", "surrogatepass")) for line in lines]
        lengths.append(len(lines))
    return Flat(np.array(hashes, np.uint64), np.cumsum(lengths))


def _split(text: str) -> tuple[str, str]:
    """(schema, the rest); a document without a schema is a group of its own kind."""
    found = SCHEMA_BLOCK.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def _padded(units: Flat, n: int) -> Flat:
    """Zeros behind the units of short documents, up to n of them."""
    lengths = np.diff(units.offsets)
    missing = np.where(lengths > 0, np.maximum(n - lengths, 0), 0)
    if not missing.any():
        return units
    hashes = np.insert(units.hashes, np.repeat(units.offsets[1:], missing), np.uint64(0))
    return Flat(hashes, np.concatenate([[0], np.cumsum(lengths + missing)]))
