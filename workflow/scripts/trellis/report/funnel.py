"""The funnel: what became of every document and token between its source and the rows that a model read."""

from collections import Counter
from typing import Any

from trellis.report.charts import Bar, stacked_bars
from trellis.report.results import Results, read_json
from trellis.report.wording import plural

# The ways out of the funnel in the order in which documents leave it: key, words, colour.
FATES = (
    ("duplicates", "duplicate", "duplicate"),
    ("contaminated", "contaminated", "contaminated"),
    ("held_out", "held out", "held"),
    ("unscored", "without scores", "rejected"),
    ("outside", "outside the rule", "low"),
    ("not_taken", "not taken", "unused"),
    ("selected", "selected", "selected"),
)
# What packing counts of a source: mixture.json's key, words.
PACKING = {
    "documents": "Documents read",
    "unique_documents": "Unique documents",
    "unique_tokens": "Unique tokens",
    "cut_documents": "Cut needlessly",
    "cut_in_reading_order": "If concatenated",
    "left_over_tokens": "Left-over tokens",
}


def funnel_section(results: Results, experiment: dict[str, Any]) -> dict[str, Any]:
    """What reading rejected, by source; which source gave up near-duplicates to which; then each mixture."""
    duplicates = results.find("filter", "duplicates")
    return {
        "reading": [_reading(results, name) for name in experiment["sources"]],
        "pairs": duplicates.metrics["pairs"] if duplicates else [],
        "mixtures": [_mixture(results, name, experiment["sources"]) for name in experiment["mixtures"]],
        "fates": FATES,
        "packing": PACKING,
        "order": experiment["pretraining"]["packing"].replace("_", " "),
    }


def _reading(results: Results, source: str) -> dict[str, Any]:
    metrics = _read(results, source)
    if metrics is None:
        return {"source": source, "metrics": None}
    features = [made.metrics["sources"].get(source, {}) for made in results.of("filter", "features")]
    counted = {key: sum(each.get(key, 0) for each in features) for key in ("tokens", "tokens_reference")}
    rejected = metrics["rejected"]
    reasons = ", ".join(f"{reason.replace('_', ' ')} {number:,}" for reason, number in sorted(rejected.items()))
    return {
        "source": source,
        "metrics": metrics,
        "tokens": counted["tokens"],
        "reference_tokens": counted["tokens_reference"],
        "rejected": sum(rejected.values()),
        "reasons": reasons,
    }


def _read(results: Results, source: str) -> dict[str, Any] | None:
    """What reading reported of a source, summed over its shards; None where it was not read here."""
    every = [*results.of("download", "ingest"), *results.of("download", "shard")]
    parts = [made.metrics for made in every if made.metrics["source"] == source]
    if not parts:
        return None
    rejected = sum((Counter(part["rejected"]) for part in parts), Counter())
    sums = {key: sum(part[key] for part in parts) for key in ("documents", "bytes")}
    return {
        **sums,
        "rejected": rejected,
        "sampled_from": sum(part.get("sampled_from", part["documents"]) for part in parts),
    }


def _mixture(results: Results, name: str, sources: dict[str, Any]) -> dict[str, Any]:
    """One mixture's plan and what packing made of it; `rows` is None where nothing was selected here."""
    selected, packed = results.find("filter", "select", f"select-{name}"), results.find("tokenize", "pack", name)
    if selected is None:
        return {"name": name, "arm": None, "rows": None}
    content = read_json(selected.path("plan.json"))
    plan = content["sources"]
    granted = {entry["source"]: entry for entry in packed.metrics["sources"]} if packed else {}
    rows = [_row(source, plan[source], granted.get(source)) for source in sources if source in plan]
    bars = [
        Bar(
            label=row["source"],
            parts=[(colour, row["documents"][key]) for key, _, colour in FATES],
            text=f"{row['documents']['selected']:,} of {plural(row['documents']['raw'], 'document')}",
        )
        for row in rows
    ]
    kinds = ("raw", *(key for key, _, _ in FATES))
    return {
        "name": name,
        "arm": content["arm"],
        "rows": rows,
        "documents": {key: sum(row["documents"][key] for row in rows) for key in kinds},
        "tokens": {key: sum(row["tokens"][key] for row in rows) for key in kinds},
        "budget": {key: sum(row[key] or 0 for row in rows) for key in ("asked", "available", "granted", "packed")},
        "packing": {key: sum(entry[key] for entry in granted.values()) for key in PACKING} if packed else None,
        "chart": stacked_bars(f"What became of the documents: mixture {name}", bars),
    }


def _row(source: str, plan: dict[str, Any], packed: dict[str, Any] | None) -> dict[str, Any]:
    """A source's fates and budget; `packed` (rows) and `packing` are None where nothing was packed of it."""
    fates = {unit: {**plan[unit]} for unit in ("documents", "tokens")}
    for counts in fates.values():
        counts["not_taken"] = counts["available"] - counts["selected"]
    return {
        "source": source,
        "select": plan["select"],
        **fates,
        "asked": plan["asked_tokens"],
        "repeat": plan["repeat"],
        # Tokens that the source's part of the mixture could have taken; none where it has no part.
        "available": plan["available_tokens"] if plan["asked_tokens"] else 0,
        "granted": packed["granted_tokens"] if packed else None,
        "packed": packed["rows"] if packed else None,
        "packing": packed,
        "selection_ratio": plan["selection_ratio"],
        "relevance": plan["relevance"],
        "complexity": plan["complexity"],
        "groups": plan["groups"],
        "bins": plan["bins"],
    }
