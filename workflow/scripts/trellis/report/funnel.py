"""The funnel: what became of every document and token between its source and the rows that a model read."""

from typing import Any

from trellis.report.charts import Bar, stacked_bars
from trellis.report.results import Results, read_json
from trellis.report.wording import count, plural

# The ways out of the funnel in the order in which documents leave it: key, words, colour.
FATES = (
    ("duplicates", "duplicate", "duplicate"),
    ("contaminated", "contaminated", "contaminated"),
    ("held_out", "held out for validation", "held"),
    ("below_floors", "below a floor", "low"),
    ("over_budget", "over the budget", "unused"),
    ("selected", "selected", "selected"),
)


def funnel_section(results: Results, experiment: dict[str, Any]) -> dict[str, Any]:
    """What reading rejected, by source; then by mixture the fates of documents and the budgets of tokens."""
    return {
        "reading": [_reading(results, name) for name in experiment["sources"]],
        "mixtures": [_mixture(results, name, mixture) for name, mixture in experiment["mixtures"].items()],
        "fates": FATES,
    }


def _reading(results: Results, source: str) -> dict[str, Any]:
    made = results.find("download", "ingest", source)
    if made is None:
        return {"source": source, "metrics": None}
    rejected = made.metrics["rejected"]
    reasons = ", ".join(f"{reason.replace('_', ' ')} {number:,}" for reason, number in sorted(rejected.items()))
    total = sum(rejected.values())
    return {"source": source, "metrics": made.metrics, "rejected": total, "reasons": reasons}


def _mixture(results: Results, name: str, mixture: dict[str, Any]) -> dict[str, Any]:
    """One mixture's plan and what packing made of it; `plan` is None where nothing was selected here."""
    selected, packed = results.find("filter", "select", f"select-{name}"), results.find("tokenize", "pack", name)
    if selected is None:
        return {"name": name, "plan": None}
    rows_of = {entry["source"]: entry for entry in packed.metrics["sources"]} if packed else {}
    sources = []
    for source, plan in read_json(selected.path("plan.json"))["sources"].items():
        documents = dict(plan["documents"])
        documents["over_budget"] = documents["raw"] - sum(documents.get(key, 0) for key, _, _ in FATES)
        sources.append(
            {
                "source": source,
                "documents": documents,
                "asked": plan["asked_tokens"],
                "available": plan["available_tokens"],
                "granted": rows_of.get(source, plan).get("granted_tokens"),
                "rows": rows_of.get(source, {}).get("rows"),
                "select": mixture["sources"].get(source, {}).get("select"),
            }
        )
    bars = [
        Bar(
            label=row["source"],
            parts=[(colour, row["documents"].get(key, 0)) for key, _, colour in FATES],
            text=f"{count(row['documents'].get('selected', 0))} of {plural(row['documents']['raw'], 'document')}",
        )
        for row in sources
    ]
    return {
        "name": name,
        "plan": sources,
        "total": {key: sum(row[key] or 0 for row in sources) for key in ("asked", "available", "granted", "rows")},
        "documents": {
            key: sum(row["documents"].get(key, 0) for row in sources) for key in ("raw", *(key for key, _, _ in FATES))
        },
        "chart": stacked_bars(f"What became of the documents: mixture {name}", bars),
    }
