"""What the models really wrote: a few outputs from every corner of the results, chosen by hash and not by eye."""

import hashlib
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import jsonschema_rs

from trellis.documents import read_rows
from trellis.records import read_records
from trellis.report.results import Results
from trellis.report.study import Arm, tuned_names
from trellis.report.wording import plural, shortened

LONGEST = 3_000
SPLITS, MODE = ("unseen", "seen"), "free"
JUDGED = ("ast", "execution", "schema_valid", "exact", "parse")


@dataclass
class Sample:
    """One output: its row of scores and, once it is read, the generation."""

    arm: Arm
    result: str
    score: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)

    @property
    def generated(self) -> str:
        """The name of the result that holds the output."""
        return f"generate-{self.result}-{self.score['suite']}"


def samples_section(results: Results, experiment: dict[str, Any], arms: list[Arm], wanted: int) -> dict[str, Any]:
    """At most `wanted` free outputs of the first fine-tuning seed, in turn from each suite, model, split and outcome."""
    chosen = choose(results, experiment, arms, wanted)
    wanted_ids, items = {sample.score["id"] for sample in chosen}, {}
    for made in results.of("evaluate", "items"):
        items.update((item["id"], item) for item in read_records(made.path("items.jsonl")) if item["id"] in wanted_ids)
    for name in dict.fromkeys(sample.generated for sample in chosen):
        made = results.need("evaluate", "generate", name)
        mine = {sample.score["id"]: sample for sample in chosen if sample.generated == name}
        for generation in read_records(made.path("generations.jsonl")):
            if generation["mode"] == MODE and generation["id"] in mine:
                mine[generation["id"]].generation = generation
    cards: dict[str, dict[str, Any]] = {}
    for sample in chosen:
        item = items[sample.score["id"]]
        cards.setdefault(item["id"], _card(item))["answers"].append(_answer(sample, item))
    return {"cards": list(cards.values()), "shown": len(chosen)}


def choose(results: Results, experiment: dict[str, Any], arms: list[Arm], wanted: int) -> list[Sample]:
    """Fills one stratum after the other, one output at a time; within a stratum the items' hashes decide, the same for
    every model, so that models tend to be seen on the same items."""
    by_name = {arm.name: arm for arm in arms}
    suites = list(experiment["evaluation"]["suites"])
    strata: dict[tuple, list[Sample]] = {}
    seen_models = set()
    for model, _, name in tuned_names(experiment):
        made = results.find("evaluate", "score", f"score-{name}")
        if made is None or model in seen_models:
            continue
        seen_models.add(model)
        for key, rows in _first_by_hash(read_rows([made.path("scores.parquet")]), wanted).items():
            strata[(*key, by_name[model].index)] = [Sample(by_name[model], name, row) for row in rows]

    def rank(key: tuple) -> tuple:
        suite, split, good, index = key
        return not good, suites.index(suite), SPLITS.index(split), index

    in_turn = [
        sample
        for layer in zip_longest(*(strata[key] for key in sorted(strata, key=rank)))
        for sample in layer
        if sample
    ]
    return sorted(
        in_turn[:wanted], key=lambda sample: (suites.index(sample.score["suite"]), SPLITS.index(sample.score["split"]))
    )


def _first_by_hash(rows: Iterator[dict[str, Any]], wanted: int) -> dict[tuple[str, str, bool], list[dict[str, Any]]]:
    """By (suite, split, good) the `wanted` free rows whose ids have the smallest hashes; holds no more rows than that."""
    kept: dict[tuple[str, str, bool], list[tuple[int, int, dict[str, Any]]]] = {}
    for number, row in enumerate(row for row in rows if row["mode"] == MODE):
        place = -int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8])
        heap = kept.setdefault((row["suite"], row["split"], _good(row)), [])
        heapq.heappush(heap, (place, -number, row))
        if len(heap) > wanted:
            heapq.heappop(heap)
    return {key: [row for _, _, row in sorted(heap, reverse=True)] for key, heap in kept.items()}


def _good(score: dict[str, Any]) -> bool:
    """Whether an output is what was asked for, in the first sense in which its suite judges that."""
    return bool(next((score[metric] for metric in JUDGED if score[metric] is not None), 0))


def _card(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is shown, still without answers."""
    gold = item["answer"] if item["schema"] is None else item["gold"]
    return {
        **{key: item[key] for key in ("id", "suite", "split")},
        "messages": [(turn["role"], shortened(turn["content"], LONGEST)) for turn in item["messages"]],
        "gold": None if gold is None else shortened(_text(gold), LONGEST),
        "answers": [],
    }


def _answer(sample: Sample, item: dict[str, Any]) -> dict[str, Any]:
    output = sample.generation["output"]
    return {
        "arm": sample.arm,
        "good": _good(sample.score),
        "exact": bool(sample.score["exact"]),
        "finding": finding(sample.score, item, output),
        "output": shortened(output, LONGEST),
        "length": plural(sample.generation["n_out"], "token"),
    }


def _text(gold: Any) -> str:
    return gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False)


def finding(score: dict[str, Any], item: dict[str, Any], output: str) -> str:
    """What was wrong with an output, in a sentence; the verdict is the scorer's, only the words are found here."""
    cut = " It was still writing when it reached the limit of new tokens." if score["truncated"] else ""
    if score["execution"] is not None:
        return ("The query gives the expected rows." if score["execution"] else "The query does not give them.") + cut
    if item["schema"] is None:
        right = score["exact"] if score["exact"] is not None else score["parse"]
        return ("As expected." if right else "Not what was expected.") + cut
    if not score["parse"]:
        return f"Not JSON: {_parse_error(output)}.{cut}"
    if not score["schema_valid"]:
        return f"JSON, but not valid: {_schema_error(item['schema'], output)}."
    if score["ast"] is not None:
        return "The calls are right." if score["ast"] else "Valid, but other calls than those that help."
    if item["gold"] is None:
        return "Valid; the item has no single expected object."
    return "Valid, and equal to the expected object." if score["exact"] else "Valid, but with other values."


def _parse_error(output: str) -> str:
    try:
        json.loads(output)
    except json.JSONDecodeError as error:
        return f"{error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"
    except (ValueError, RecursionError):
        pass
    return "the strict parser refuses what a lenient one takes"


def _schema_error(schema: dict[str, Any], output: str) -> str:
    """The first violation in the words of the scorer's validator; references to elsewhere are never fetched."""
    try:
        validator = jsonschema_rs.validator_for(schema, validate_formats=True, retriever=_refuse)
        errors = sorted(
            (_place(error.instance_path), error.message) for error in validator.iter_errors(json.loads(output))
        )
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError):
        errors = []
    if not errors:
        return "the scorer's validator refuses it"
    place, message = errors[0]
    more = f" (and {plural(len(errors) - 1, 'more violation')})" if len(errors) > 1 else ""
    return f"{shortened(message, 200)} at {place}{more}"


def _place(path: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")
