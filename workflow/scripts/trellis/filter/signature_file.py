"""The signatures of many documents on disk, to be read by band and by document."""

import os
from pathlib import Path

import numpy as np

BLOCK = 2**20
# Spreads what the rows of a band say over all bits of its key, one to one.
MIXER = np.uint64(0x9E3779B97F4A7C15)


class SignatureFile:
    """uint64 [documents, bands], written once from the first document to the last. It is read rather than mapped, so that
    its pages are the system's to keep or to drop and never part of the process."""

    def __init__(self, path: Path, bands: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.bands, self.width = bands, 8 * bands
        self.file = path.open("w+b")

    def append(self, signatures: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(signatures, np.uint64).data)
        self.file.flush()

    def band(self, band: int, rank: np.ndarray) -> np.ndarray:
        """One key a document, uint64 [documents]; the key of document d stands at `rank[d]`."""
        keys = np.empty(len(rank), np.uint64)
        self.file.seek(0)
        for first in range(0, len(rank), BLOCK):
            count = min(BLOCK, len(rank) - first)
            block = np.fromfile(self.file, np.uint64, count * self.bands)
            keys[rank[first : first + count]] = block.reshape(count, self.bands)[:, band]
        keys *= MIXER
        return keys

    def rows(self, documents: np.ndarray) -> np.ndarray:
        """The signatures of some documents, uint64 [documents, bands]."""
        descriptor, width = self.file.fileno(), self.width
        places = (documents.astype(np.int64) * width).tolist()
        content = b"".join([os.pread(descriptor, width, place) for place in places])
        return np.frombuffer(content, np.uint64).reshape(len(documents), self.bands)

    def close(self) -> None:
        self.file.close()
