"""filter_select: the documents of one mixture, and the plan that says how they came to be chosen."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from trellis.budget import rows_per_source, tokens_needed
from trellis.command import Result
from trellis.documents import read_rows, write_table
from trellis.errors import TrellisError
from trellis.experiment.filter import Curation
from trellis.experiment.mixture import Mixture
from trellis.filter.pool import Pool, hashed, read_pool
from trellis.filter.rules import below_floors, curated_order, random_order, take
from trellis.manifest import Manifest
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
SCHEMA = pa.schema([("doc_id", pa.uint64()), ("split", pa.string()), ("rank", pa.uint32())])
FATES = ("duplicates", "contaminated", "held_out")


def run(spec: Spec, out: Path) -> Result:
    """Writes selected/<source>.parquet and plan.json. Raises TrellisError when a source is short of more
    tokens than the mixture tolerates."""
    mixture = Mixture.model_validate(spec.config["mixture"])
    curation = Curation.model_validate(spec.config["curation"])
    context, seed = spec.config["context"], spec.config["seed"]
    scores = spec.input("scores")
    topics = _topics(scores, curation)
    removed = _removed(spec.input("duplicates"))
    rows_of = rows_per_source(mixture, context)
    plan, files = {}, {}
    for features in spec.input("features").paths("features/"):
        name = features.stem
        rules = (removed.get(name, np.empty(0, np.uint64)), topics, spec.config["validation_share"], seed)
        pool = read_pool(features, scores.path(f"scores/{name}.parquet"), *rules)
        share, rows = mixture.sources.get(name), rows_of.get(name, 0)
        places = pool.places("left")
        if share and share.select == "curated":
            places = places[~below_floors(pool, places, curation)]
            order = curated_order(pool, places, curation, seed)
        else:
            order = random_order(pool, places, seed)
        asked = share.tokens if share else 0
        chosen = take(pool, order, max(asked, tokens_needed(rows, context)))
        file = f"selected/{name}.parquet"
        files[file] = write_table(out / file, SCHEMA, _rows(pool, chosen, seed))
        plan[name] = _account(pool, places, chosen, asked, rows * context, share.select if share else None)
    shortages = _shortages(mixture, plan, {n: tokens_needed(r, context) for n, r in rows_of.items()})
    _refuse(spec.name.removeprefix("select-"), mixture, plan, shortages)
    for name in shortages:
        entry = plan[name]
        missing = 1 - entry["selected_tokens"] / entry["asked_tokens"]
        LOG.warning(
            "%s: %s of %s tokens, %.2f %% short", name, entry["selected_tokens"], entry["asked_tokens"], 100 * missing
        )
        # Whole rows of what there is; the token after the last row is its last target.
        entry["granted_tokens"] = (entry["selected_tokens"] - 1) // context * context
    content = {"sources": plan}
    (out / "plan.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Result(content, files)


def _topics(scores: Manifest, curation: Curation) -> list[int]:
    """Where the relevant topics stand in the scores."""
    labels = scores.metrics["labels"].get("topics", [])
    if unknown := [topic for topic in curation.relevance_topics if topic not in labels]:
        raise TrellisError(
            f"filter.curation.relevance_topics: no classifier scores {unknown[0]!r} (scored: {', '.join(labels)})"
        )
    return [labels.index(topic) for topic in curation.relevance_topics]


def _removed(duplicates: Manifest) -> dict[str, np.ndarray]:
    """The doc_ids of the documents that are not their cluster's survivor, by source."""
    found: dict[str, list[int]] = {}
    for row in read_rows([duplicates.path("duplicates.parquet")]):
        if not row["kept"]:
            found.setdefault(row["source"], []).append(row["doc_id"])
    return {source: np.array(ids, np.uint64) for source, ids in found.items()}


def _rows(pool: Pool, chosen: np.ndarray, seed: int) -> Iterator[dict]:
    """The chosen and the held-out documents in the documents' order."""
    splits = []
    for split, places in (("train", chosen), ("validation", pool.places("held_out"))):
        order = places[np.argsort(hashed(pool.doc_id[places], seed, "reading order"), kind="stable")]
        splits += [(int(place), split, rank) for rank, place in enumerate(order)]
    for place, split, rank in sorted(splits):
        yield {"doc_id": int(pool.doc_id[place]), "split": split, "rank": rank}


def _account(pool: Pool, places: np.ndarray, chosen: np.ndarray, asked: int, granted: int, select: str | None) -> dict:
    """A source's part of the plan; `places` are the documents that the rule could take."""
    groups = {"raw": np.arange(len(pool.doc_id)), **{fate: pool.places(fate) for fate in FATES}}
    groups["below_floors"] = np.setdiff1d(pool.places("left"), places)
    groups |= {"available": places, "selected": chosen}
    tokens = {name: int(pool.tokens[group].sum()) for name, group in groups.items()}
    return {
        "select": select,
        "asked_tokens": asked,
        "available_tokens": tokens["available"],
        "selected_tokens": tokens["selected"],
        "granted_tokens": granted,
        "selection_ratio": round(tokens["selected"] / tokens["available"], 4) if tokens["available"] else None,
        "documents": {name: len(group) for name, group in groups.items()},
        "tokens": tokens,
        "complexity": {"pool": _mean(pool.complexity[places]), "selected": _mean(pool.complexity[chosen])},
        "relevance": {"pool": _mean(pool.relevance[places]), "selected": _mean(pool.relevance[chosen])},
    }


def _mean(scores: np.ndarray) -> float | None:
    known = scores[~np.isnan(scores)]
    return round(float(known.mean(dtype=np.float64)), 4) if len(known) else None


def _shortages(mixture: Mixture, plan: dict, needed: dict[str, int]) -> list[str]:
    """The sources that hold fewer tokens than were asked for, or than their rows need."""
    return [
        name
        for name, entry in plan.items()
        if name in mixture.sources and entry["selected_tokens"] < max(entry["asked_tokens"], needed[name])
    ]


def _refuse(label: str, mixture: Mixture, plan: dict, shortages: list[str]) -> None:
    """Raises TrellisError, naming every source that is short of more than the tolerance and the numbers that would fit."""
    short = {
        name: plan[name]
        for name in shortages
        if plan[name]["selected_tokens"] < (1 - mixture.tolerance) * plan[name]["asked_tokens"] or not mixture.tolerance
    }
    if not short:
        return
    sentences = "; ".join(
        f"{name} asks for {entry['asked_tokens']:,} tokens and {entry['available_tokens']:,} are available in "
        f"{entry['documents']['available']:,} of {entry['documents']['raw']:,} documents"
        for name, entry in short.items()
    )
    numbers = ", ".join(f"{name}: {{tokens: {entry['available_tokens']}}}" for name, entry in short.items())
    raise TrellisError(
        f"mixtures.{label}: {sentences}; set at most {numbers} under mixtures.{label}.sources (and "
        f"mixtures.{label}.tokens to their sum), or give these sources more documents (max_documents; or `tokens` of "
        f"their parts, and `python -m trellis lock`)"
    )
