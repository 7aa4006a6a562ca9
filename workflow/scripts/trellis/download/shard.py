"""From fetched or local files to the document table of one shard of a source."""

import importlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from trellis.command import Result
from trellis.documents import ROW_GROUP, SCHEMA, document_id
from trellis.download import lines, tables
from trellis.download.rules import judge, judge_column
from trellis.errors import TrellisError
from trellis.experiment.lock import PinnedFile
from trellis.experiment.sources import Rules
from trellis.manifest import file_sha256
from trellis.progress import bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
TABLE = "documents/000.parquet"
GROUP_BYTES = 2**26  # text of a row group
PENDING = 256  # rendered rows that wait to become columns


def run(spec: Spec, out: Path) -> Result:
    """Raises TrellisError when a local file has changed, or a file is not what its suffix and the reader say."""
    source, rules = spec.config["source"], Rules.model_validate(spec.config["rules"])
    files = _local(spec) if spec.config["local"] else _fetched(spec)
    share = tables.Share(spec.config["shard"], spec.config["shards"])
    with (
        _Writer(out / TABLE, source, rules) as writer,
        bar(f"reading {source}", sum(path.stat().st_size for path in files.values()), "bytes") as progress,
    ):
        shard = _Shard(spec.config["reader"], share, writer)
        for number, (name, path) in enumerate(files.items()):
            try:
                for stored in shard.read(number, name, path):
                    progress.advance(stored)
            except tables.Unreadable as error:
                raise TrellisError(
                    f"sources.{source}: {name} {error}, so that the reader {shard.name} cannot read it; "
                    "correct the part's `reader` or `files`"
                ) from None
            LOG.info("%s: %d documents after %s", source, writer.documents, name)
    metrics = {
        "source": source,
        "documents": writer.documents,
        "bytes": writer.bytes,
        "rejected": {reason: count for reason, count in sorted(writer.rejected.items()) if count},
    }
    return Result(metrics=metrics, rows={TABLE: writer.documents})


def _fetched(spec: Spec) -> dict[str, Path]:
    """What was downloaded, by its address on the hub."""
    made = spec.input("files")
    prefix = made.folder / "files"
    return {f"{made.metrics['repo']}/{path.relative_to(prefix).as_posix()}": path for path in made.paths("files/")}


def _local(spec: Spec) -> dict[str, Path]:
    """The files of this machine, by their path in the lock, each still what was locked."""
    again = f"run `python -m trellis lock {spec.experiment}` again"
    for path, pinned in sorted(spec.config["local"].items()):
        pin, file = PinnedFile.model_validate(pinned), Path(path)
        if not file.is_file():
            raise TrellisError(f"{path}, which the lock pins, is not there; put it back, or {again}")
        if file.stat().st_size != pin.bytes or file_sha256(file) != pin.sha256:
            raise TrellisError(f"{path} is not the file that was locked; put that back, or {again}")
    return {path: Path(path) for path in sorted(spec.config["local"])}


class _Shard:
    """Reads one share of the files with the renderer `name`, which the plan names in the job's `modules`, so that its code
    is part of the address."""

    def __init__(self, name: str, share: tables.Share, writer: "_Writer") -> None:
        self.name, self.share, self.writer = name, share, writer
        self.renderer = importlib.import_module(f"trellis.download.renderers.{name}")
        self.shape = self.renderer.Shape
        columns = {field.alias or key: field.is_required() for key, field in self.shape.model_fields.items()}
        self.required = [column for column, needed in columns.items() if needed]
        self.optional = [column for column, needed in columns.items() if not needed]

    def read(self, number: int, name: str, path: Path) -> Iterator[int]:
        """Reads the share of the file `number`; yields how many of its bytes were read since."""
        suffix = PurePosixPath(name.removesuffix(path.suffix) if path.suffix in lines.CODECS else name).suffix
        if self.name == "text_file":
            if self.share.takes(number):
                text = lines.whole(path, self.writer.rejected)
                if text is not None:
                    self._render(name, self.shape(text=text))
            yield path.stat().st_size
        elif suffix == ".parquet":
            yield from self._read_parquet(name, path)
        elif suffix in lines.LINES:
            ...
