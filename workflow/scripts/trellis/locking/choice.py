"""Which files of a repository a budget takes: a seeded hash order, never the head of a listing."""

from collections.abc import Mapping

import xxhash

from trellis.patterns import matching

MARGIN = 0.1  # taken on top of what is asked for: documents are rejected, and bytes per token are an estimate


def choose(repo: str, sizes: Mapping[str, int], patterns: list[str], enough: int | None, seed: int) -> list[str]:
    """The chosen paths, sorted, of `sizes` (path -> bytes). Raises KeyError with the first pattern that matches none.

    All that match where `enough` (bytes) is None. Otherwise the patterns share `enough` and `MARGIN` in proportion to
    the bytes that match them, a file counting for its first pattern; each takes files in the order of
    xxh3_64(`repo`/path, seed) until it holds its share, and its first file in any case. A greater `enough` only adds.
    """
    known = matching(sizes, patterns)
    if enough is None:
        return known
    order = sorted(known, key=lambda path: (xxhash.xxh3_64_intdigest(f"{repo}/{path}".encode(), seed=seed), path))
    total, left, chosen = sum(sizes[path] for path in known), set(known), set()
    for pattern in patterns:
        found = set(matching(known, [pattern]))
        chosen.add(next(path for path in order if path in found))
        own = [path for path in order if path in found & left]
        left -= found
        share = enough * (1 + MARGIN) * sum(sizes[path] for path in own) / max(total, 1)
        for path in own:
            if share <= 0:
                break
            chosen.add(path)
            share -= sizes[path]
    return sorted(chosen)
