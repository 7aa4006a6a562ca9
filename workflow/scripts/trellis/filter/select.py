"""filter_select: the documents of one mixture, and the plan that says how they came to be chosen.

The side tables of a source are streamed twice: first into a histogram of tokens by cell and rank, from which the plan
follows, then to take the documents that the plan cuts off. What is kept of a document between the two is one byte.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from trellis.budget import rows_per_source, rows_within, to_read, to_select, tokens_needed
from trellis.command import Result
from trellis.document_split import mixed
from trellis.documents import side_tables
from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture
from trellis.experiment.selection import RANDOM, CodeRule, Rule, rule_of
from trellis.filter.account import Account, cells
from trellis.filter.columns import write_columns
from trellis.filter.histogram import Histogram, settle
from trellis.filter.pool import HELD_OUT, Pool, Removed
from trellis.filter.quotas import solve
from trellis.filter.rules import Placing, placing
from trellis.filter.shortage import refuse, shortages
from trellis.manifest import Manifest
from trellis.progress import Bar, bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
SPLITS = ("train", "validation")
SCHEMA = pa.schema([("doc_id", pa.uint64()), ("split", pa.string()), ("rank", pa.uint32())])


def run(spec: Spec, out: Path) -> Result:
    """Writes selected/<source>.parquet and plan.json. Raises TrellisError when a source is short of more tokens than the
    mixture tolerates."""
    mixture = Mixture.model_validate(spec.config["mixture"])
    context, seed = spec.config["context"], spec.config["seed"]
    rows_of = rows_per_source(mixture, context)
    plan, files = {}, {}
    sources = dict(_sources(spec, mixture))
    with bar(spec.name, 2 * sum(pool.documents for pool, _, _ in sources.values()), "document") as progress:
        for name, (pool, rule, at_work) in sources.items():
            share, granted = mixture.sources.get(name), rows_of.get(name, 0) * context
            asked, repeat = (share.tokens, share.repeat) if share else (0, 1.0)
            needed = to_select(max(asked, tokens_needed(rows_of.get(name, 0), context)), repeat)
            split, account, quotas = _choose(pool, at_work, needed, progress)
            file = f"selected/{name}.parquet"
            files[file] = _write(out / file, pool, split, seed)
            select, kind = (share.select, rule.kind if rule else RANDOM) if share else (None, None)
            plan[name] = {"select": select, "kind": kind, "repeat": repeat, "needed_tokens": needed}
            plan[name] |= {**account.entry(asked, granted), "cells": quotas if rule else []}
    short = shortages(plan)
    refuse(spec.name.removeprefix("select-"), mixture, plan, short, context)
    for name in short:
        entry = plan[name]
        there, asked = to_read(entry["selected_tokens"], entry["repeat"]), entry["asked_tokens"]
        LOG.warning("%s: %s of %s tokens, %.2f %% short", name, there, asked, 100 - 100 * there / asked)
        entry["granted_tokens"] = min(entry["granted_tokens"], rows_within(there, context) * context)
    content = {"arm": mixture.arm, "sources": plan}
    (out / "plan.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Result(content, files)


def _sources(spec: Spec, mixture: Mixture) -> Iterator[tuple[str, tuple[Pool, Rule | None, Placing]]]:
    """Each source by name: its documents, and the rule (None: at random) with what it does."""
    rules = TypeAdapter(dict[str, Rule]).validate_python(spec.config["selection"])
    features, scores = side_tables(spec.inputs_of("features"), "features"), spec.inputs_of("scores")
    tables = side_tables(scores, "scores")
    removed = _removed(spec.input("duplicates"))
    share_held_out, seed = spec.config["validation_share"], spec.config["seed"]
    for name in sorted(features):
        share = mixture.sources.get(name)
        rule = rule_of(share.select, mixture.arm, rules) if share else None
        scored = tables.get(name, [])
        labels, thresholds = _topics(scores, scored)
        try:
            at_work = placing(rule, seed, spec.config["relevance_topics"], labels, thresholds)
        except TrellisError as error:
            raise TrellisError(f"source {name}: {error}") from None
        pool = Pool(features[name], scored, removed.get(name, Removed()), labels, share_held_out, seed)
        if isinstance(rule, CodeRule) and not pool.sliced:
            LOG.warning("%s: its features have no column slice, so that it is one slice", name)
        yield name, (pool, rule, at_work)


def _choose(pool: Pool, at_work: Placing, needed: int, progress: Bar) -> tuple[np.ndarray, Account, list[dict]]:
    """(for each document 0, or 1 + its place in SPLITS, uint8; the account; the quotas)."""
    account, histogram = Account(at_work), Histogram(at_work.layout.cells, at_work.hash_bits)
    split = np.zeros(pool.documents, np.uint8)
    for part in pool.parts():
        fate, records = at_work.place(part)
        split[part.start : part.start + len(fate)] = 2 * (fate == HELD_OUT)
        account.count(fate, part.tokens)
        account.pool.add(records)
        histogram.add(records)
        progress.advance(len(fate))
    plan = solve(at_work.layout, histogram.tokens, needed)
    cut, before = histogram.cut(plan.tokens)
    tied = []
    for part in pool.parts() if needed else ():
        fate, records = at_work.place(part)
        progress.advance(len(fate))
        last = cut[records["cell"]]
        sure = records[records["rank"] < last]
        split[sure["place"]] = 1
        account.selected.add(sure)
        tied.append(records[records["rank"] == last])
    if tied:
        taken = settle(np.concatenate(tied), plan.tokens - before)
        split[taken["place"]] = 1
        account.selected.add(taken)
    return split, account, cells(at_work.layout, plan)


def _topics(scores: list[Manifest], tables: list[Path]) -> tuple[list[str], list[float] | None]:
    """The labels of a source's topics and their calibrated thresholds: those of the classifier that scored it."""
    for made in scores:
        if tables and tables[0].is_relative_to(made.folder):
            return made.metrics["labels"].get("topics", []), made.metrics.get("thresholds", {}).get("topics")
    return [], None


def _removed(duplicates: Manifest) -> dict[str, Removed]:
    """The documents that finding duplicates set aside, by source."""
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = defaultdict(lambda: ([], []))
    with pq.ParquetFile(duplicates.path("duplicates.parquet")) as file:
        for batch in file.iter_batches(columns=["doc_id", "source", "kept", "contaminated_by"]):
            gone = batch.filter(pc.invert(batch["kept"]))
            for source in pc.unique(gone["source"]).to_pylist():
                members = gone.filter(pc.equal(gone["source"], source))
                doc_id, contaminated = members["doc_id"].to_numpy(), pc.is_valid(members["contaminated_by"])
                contaminated = contaminated.to_numpy(zero_copy_only=False)
                found[source][0].append(doc_id[~contaminated])
                found[source][1].append(doc_id[contaminated])
    return {source: Removed(*map(_rising, ids)) for source, ids in found.items()}


def _rising(ids: list[np.ndarray]) -> np.ndarray:
    whole = np.concatenate(ids)
    ids.clear()
    whole.sort()
    return whole


def _write(path: Path, pool: Pool, split: np.ndarray, seed: int) -> int:
    """The chosen and the held-out documents in the documents' order; returns how many."""
    chosen, start = [], 0
    for ids in pool.doc_ids():
        chosen.append(ids[split[start : start + len(ids)] > 0])
        start += len(ids)
    doc_id, split = np.concatenate(chosen or [np.empty(0, np.uint64)]), split[split > 0] - 1
    rank = np.empty(len(doc_id), np.uint32)
    for each in range(len(SPLITS)):
        members = np.flatnonzero(split == each)
        order = np.argsort(mixed(doc_id[members], seed, "reading order"))
        rank[members[order]] = np.arange(len(members), dtype=np.uint32)
    names = pa.DictionaryArray.from_arrays(pa.array(split, pa.int8()), pa.array(SPLITS)).cast(pa.string())
    return write_columns(path, SCHEMA, [doc_id, names, rank])
