"""The rows of a packed mixture: memory maps that are verified once, read by row number, and read ahead."""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trellis.address import digest
from trellis.errors import TrellisError
from trellis.manifest import Manifest, file_sha256

LOG = logging.getLogger("trellis")


class Place(NamedTuple):
    """Where a row is to be found: its source, and its number among the source's rows."""

    source: str
    row: int


class Rows:
    """Rows of `context + 1` tokens over several sources' files, numbered through in the order of the sources."""

    def __init__(self, folder: Path, sources: list[dict], context: int, vocab_size: int) -> None:
        self.folder, self.context, self.vocab_size = folder, context, vocab_size
        self.names = [entry["source"] for entry in sources if entry["rows"]]
        counts = [entry["rows"] for entry in sources if entry["rows"]]
        self.ends = np.cumsum(counts)
        self.tokens = [np.memmap(folder / f"{name}.bin", dtype=np.uint16, mode="r") for name in self.names]

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def numbers(self) -> np.ndarray:
        """The numbers of all rows."""
        return np.arange(len(self))

    def place(self, number: int) -> Place:
        """The source of a row, and the row's number in it."""
        source = int(np.searchsorted(self.ends, number, side="right"))
        return Place(self.names[source], int(number) - (int(self.ends[source - 1]) if source else 0))

    def read(self, numbers: np.ndarray) -> torch.Tensor:
        """The rows with these numbers: int64 [len(numbers), context + 1]. Raises TrellisError for a token that is not in
        the vocabulary."""
        rows = np.empty((len(numbers), self.context + 1), dtype=np.int64)
        for row, number in zip(rows, numbers, strict=True):
            row[:] = self._row(*self.place(number))
        if rows.size and rows.max() >= self.vocab_size:
            self._refuse(rows, numbers)
        return torch.from_numpy(rows)

    def _row(self, source: str, row: int) -> np.ndarray:
        begin = row * self.context
        return self.tokens[self.names.index(source)][begin : begin + self.context + 1]

    def _refuse(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        row, column = np.argwhere(rows >= self.vocab_size)[0]
        place = self.place(numbers[row])
        raise TrellisError(
            f"row {place.row} of source {place.source} ({self.folder / place.source}.bin) holds token {rows[row, column]}, "
            f"and the vocabulary ends at {self.vocab_size - 1}: this mixture was packed with another tokenizer; delete its "
            f"folder and run snakemake"
        )


class Mixture:
    """A packed mixture: training rows in their seeded order, validation rows source by source."""

    def __init__(self, manifest: Manifest, vocab_size: int) -> None:
        metrics, self.manifest = manifest.metrics, manifest
        self.context = metrics["context"]
        self.train = Rows(manifest.folder / "train", metrics["sources"], self.context, vocab_size)
        self.order = np.load(manifest.path("train/order.npy"), mmap_mode="r")
        self.validation = {
            entry["source"]: (Rows(manifest.folder / "validation", [entry], self.context, vocab_size), entry["bytes"])
            for entry in metrics["validation"]
            if entry["rows"]
        }

    @property
    def fingerprint(self) -> str:
        """One hash over the hashes of all its files."""
        return digest([[file.path, file.sha256] for file in self.manifest.files])

    def steps(self, batch_rows: int) -> int:
        """Steps that read every row once; the last may be a smaller batch."""
        return -(-len(self.order) // batch_rows)

    def batch(self, step: int, batch_rows: int) -> np.ndarray:
        """The numbers of the rows that step `step` (from 0) reads."""
        return np.asarray(self.order[step * batch_rows : (step + 1) * batch_rows])


def verify(mixture: Manifest) -> None:
    """Raises TrellisError for a file of the mixture that is not what its manifest says, before a step is trained on it."""
    begun, size = time.monotonic(), 0
    for file in mixture.files:
        path = mixture.folder / file.path
        if not path.is_file() or file_sha256(path) != file.sha256:
            raise TrellisError(
                f"{path} is {'damaged (its sha256 is not the one in its manifest)' if path.exists() else 'missing'}; delete "
                f"{mixture.folder} and run snakemake to pack it again"
            )
        size += file.bytes
    LOG.info("mixture verified: %.1f MiB in %.1f s", size / 2**20, time.monotonic() - begun)


def read_ahead(rows: Rows, batches: Iterable[np.ndarray], device: torch.device) -> Iterator[torch.Tensor]:
    """The rows of each batch: while one is computed, a thread reads the next, for a GPU into pinned memory. What goes wrong
    in the thread is raised here."""
    gpu = device.type == "cuda"

    def read(numbers: np.ndarray) -> torch.Tensor:
        return rows.read(numbers).pin_memory() if gpu else rows.read(numbers)

    # Without it the thread would pin memory for the first GPU, whichever this process has.
    with ThreadPoolExecutor(1, initializer=torch.cuda.set_device if gpu else None, initargs=(device,) * gpu) as reader:
        waiting = None
        for numbers in batches:
            ahead = reader.submit(read, numbers)
            if waiting:
                yield waiting.result()
            waiting = ahead
        if waiting:
            yield waiting.result()
