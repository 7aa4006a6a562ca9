"""The rows of a packed mixture: memory maps, read by row number."""

from pathlib import Path

import numpy as np
import torch

from trellis.manifest import Manifest


class Rows:
    """Rows of `context + 1` tokens over several sources' files, numbered through in the order of the sources."""

    def __init__(self, folder: Path, sources: list[dict], context: int) -> None:
        self.context = context
        self.names = [entry["source"] for entry in sources if entry["rows"]]
        counts = [entry["rows"] for entry in sources if entry["rows"]]
        self.ends = np.cumsum(counts)
        self.tokens = [np.memmap(folder / f"{name}.bin", dtype=np.uint16, mode="r") for name in self.names]

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def read(self, numbers: np.ndarray) -> torch.Tensor:
        """The rows with these numbers: int64 [len(numbers), context + 1]."""
        return torch.from_numpy(np.stack([self._row(int(number)) for number in numbers]).astype(np.int64))

    def _row(self, number: int) -> np.ndarray:
        source = int(np.searchsorted(self.ends, number, side="right"))
        begin = (number - (int(self.ends[source - 1]) if source else 0)) * self.context
        return self.tokens[source][begin : begin + self.context + 1]


class Mixture:
    """A packed mixture: training rows in their seeded order, validation rows source by source."""

    def __init__(self, manifest: Manifest) -> None:
        metrics = manifest.metrics
        self.context = metrics["context"]
        self.train = Rows(manifest.folder / "train", metrics["sources"], self.context)
        self.order = np.load(manifest.path("train/order.npy"), mmap_mode="r")
        self.validation = {
            entry["source"]: (Rows(manifest.folder / "validation", [entry], self.context), entry["bytes"])
            for entry in metrics["validation"]
            if entry["rows"]
        }

    def steps(self, batch_rows: int) -> int:
        """Steps that read every row once; the last may be a smaller batch."""
        return -(-len(self.order) // batch_rows)

    def batch(self, step: int, batch_rows: int) -> np.ndarray:
        """The numbers of the rows that step `step` (from 0) reads."""
        return np.asarray(self.order[step * batch_rows : (step + 1) * batch_rows])
