"""Glob patterns over paths, the same for members of an archive, files of a repository and local files.

`*` stands for any characters but `/`, and `**/` for any folders.
"""

import re
from collections.abc import Iterable


def matching(paths: Iterable[str], patterns: list[str]) -> list[str]:
    """The paths that match any pattern, sorted, each once. Raises KeyError with the first pattern that matches none."""
    known, found = sorted(paths), set()
    for pattern in patterns:
        expression = _regex(pattern)
        chosen = [path for path in known if expression.fullmatch(path)]
        if not chosen:
            raise KeyError(pattern)
        found.update(chosen)
    return sorted(found)


def _regex(pattern: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", pattern)))
