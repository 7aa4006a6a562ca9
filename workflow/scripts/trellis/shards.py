"""From a lock's files to shards: how much one download fetches and one job renders, fixed before anything is fetched."""

import re
from pathlib import PurePosixPath

from trellis.experiment.lock import PinnedFile

SHARD_BYTES = 10**9  # text
# Bytes of text in a byte of the stored file. A wrong guess makes shards larger or smaller, and nothing else.
EXPANSION = {".parquet": 2.0, ".gz": 3.5, ".zst": 3.5, ".zip": 3.5}

Bundle = dict[str, PinnedFile]


def bundles(files: Bundle) -> list[Bundle]:
    """The files in the order of their paths, put together until they hold a shard's text; a large file stands alone."""
    made: list[Bundle] = []
    room = 0.0
    for path in sorted(files):
        size = _text_bytes(path, files[path])
        if not made or size > room:
            made.append({})
            room = SHARD_BYTES
        made[-1][path] = files[path]
        room -= size
    return made


def shard_count(bundle: Bundle) -> int:
    """How many shards a bundle is rendered in."""
    return max(1, round(sum(_text_bytes(path, file) for path, file in bundle.items()) / SHARD_BYTES))


def stem(bundle: Bundle) -> str:
    """A name for a bundle that stays the same whatever else is locked: its first file's, fit for a folder."""
    first = PurePosixPath(min(bundle))
    name = "-".join([*first.parts[-2:-1], first.name.split(".")[0]])
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")


def _text_bytes(path: str, file: PinnedFile) -> float:
    return file.bytes * EXPANSION.get(PurePosixPath(path).suffix, 1.0)
