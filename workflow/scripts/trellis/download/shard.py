"""From fetched or local files to the document table of one shard of a source."""

import importlib
import json
import logging
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from trellis.command import Result
from trellis.download.lines import SUFFIXES, member_rows, rows, unpacked_name, whole
from trellis.download.reading import Reading, Unreadable
from trellis.download.tables import batches
from trellis.download.writer import DocumentWriter
from trellis.errors import TrellisError
from trellis.experiment.sources import Rules
from trellis.local_files import locked_files
from trellis.progress import bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
TABLE = "documents/000.parquet"


def run(spec: Spec, out: Path) -> Result:
    """Raises TrellisError when a local file has changed, or a file is not what its suffix and the reader say."""
    source, reader, rules = spec.config["source"], spec.config["reader"], Rules.model_validate(spec.config["rules"])
    files = locked_files(spec) if spec.config["local"] else _fetched(spec)
    with bar(f"reading {source}", sum(path.stat().st_size for path in files.values()), "bytes") as progress:
        reading = Reading(spec.config["shard"], spec.config["shards"], progress.advance)
        with DocumentWriter(out / TABLE, source, rules, reading) as writer:
            shard = _Shard(reader, reading, writer)
            for number, (name, path) in enumerate(files.items()):
                try:
                    shard.read(number, name, path)
                except Unreadable as error:
                    raise TrellisError(
                        f"sources.{source}: {name} {error}: `reader: {reader}` cannot read it; "
                        "correct the part's `reader` or `files`"
                    ) from None
                LOG.info("%s: %d documents after %s", source, writer.documents, name)
    metrics = {
        "source": source,
        "documents": writer.documents,
        "bytes": writer.bytes,
        "rejected": {reason: count for reason, count in sorted(reading.rejected.items()) if count},
    }
    return Result(metrics=metrics, rows={TABLE: writer.documents})


def _fetched(spec: Spec) -> dict[str, Path]:
    """What was downloaded, by its address on the hub."""
    made = spec.input("files")
    folder = made.folder / "files"
    return {f"{made.metrics['repo']}/{path.relative_to(folder).as_posix()}": path for path in made.paths("files/")}


class _Shard:
    """Renders one job's share of files with a renderer, given by its name: the plan names its module in the job's
    `modules`, so that its code is part of the address."""

    def __init__(self, reader: str, reading: Reading, writer: DocumentWriter) -> None:
        self.reading, self.writer = reading, writer
        self.renderer = importlib.import_module(f"trellis.download.renderers.{reader}")
        self.text = getattr(self.renderer, "TEXT", None)
        self.whole_files = reader == "text_file"
        fields = self.renderer.Shape.model_fields
        self.required = [field.alias or name for name, field in fields.items() if field.is_required()]
        self.optional = [field.alias or name for name, field in fields.items() if not field.is_required()]

    def read(self, number: int, name: str, path: Path) -> None:
        """Writes the share of the file `number`, whose native ids begin with `name`. Raises Unreadable."""
        suffix = PurePosixPath(unpacked_name(path)).suffix
        if self.whole_files:
            if self.reading.takes(number) and (text := whole(path, number, self.reading)) is not None:
                self._render(name, {"text": text})
            self.reading.advance(path.stat().st_size)
        elif suffix == ".parquet":
            for first, batch in batches(path, self.required, self.optional, self.reading):
                self._render_batch(name, first, batch)
        elif suffix == ".zip":
            for member, row, line in member_rows(path, self.reading):
                self._render(f"{name}/{member}:{row}", line)
        elif suffix in SUFFIXES:
            for row, value in rows(path, self.reading):
                self._render(f"{name}:{row}", value)
        else:
            known = ", ".join((".parquet", *SUFFIXES, ".zip"))
            raise Unreadable(f"ends in none of {known}, with or without .gz or .zst")

    def _render_batch(self, name: str, first: int, batch: pa.RecordBatch) -> None:
        native_ids = [f"{name}:{row}" for row in range(first, first + len(batch))]
        if self.text and batch.schema.field(self.text).type in (pa.string(), pa.large_string()) and _is_valid(batch):
            beside = [name for name in batch.schema.names if name in self.renderer.BESIDE]
            names = [self.renderer.BESIDE[name] for name in beside]
            self.writer.add_column(native_ids, batch[self.text], batch.select(beside).rename_columns(names))
            return
        for index, native_id in enumerate(native_ids):
            # One row at a time: as Python objects, rows weigh several times what they do in columns.
            try:
                row = batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError:
                self.reading.rejected["bad_encoding"] += 1
            else:
                self._render(native_id, row)

    def _render(self, native_id: str, row: Any) -> None:
        """Renders a row, given as JSON or as a value, and hands it on."""
        rendered = self._parsed(row)
        if not isinstance(rendered, str):
            rendered = self.renderer.render(native_id, rendered)
        if isinstance(rendered, str):
            self.reading.rejected[rendered] += 1
        else:
            self.writer.add(rendered)

    def _parsed(self, row: Any) -> Any:
        """The row in the renderer's shape, or the reason for which it has none."""
        shape = self.renderer.Shape
        try:
            return shape.model_validate_json(row) if isinstance(row, bytes) else shape.model_validate(row)
        except ValidationError:
            if not isinstance(row, bytes):
                return "malformed"
        # The strict parser knows no lone surrogates, and JSON does: they may stand where nothing is read.
        try:
            return self._parsed(json.loads(row))
        except UnicodeDecodeError:
            return "bad_encoding"
        except (ValueError, RecursionError):
            return "malformed"


def _is_valid(batch: pa.RecordBatch) -> bool:
    """Whether all strings of a batch are UTF-8."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
