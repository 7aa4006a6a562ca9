"""evaluate_items: the questions of one suite, with the split they belong to and the right answer where there is one."""

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from transformers import PreTrainedTokenizerFast

from trellis.chat import attach
from trellis.command import Result
from trellis.errors import TrellisError
from trellis.evaluate.prompting import answer_ids
from trellis.evaluate.suites import Built
from trellis.evaluate.validator import NotASchema, subschemas, validator
from trellis.experiment.evaluation import Suite
from trellis.manifest import file_sha256
from trellis.records import write_records
from trellis.spec import Spec

# The keywords that are counted.
FEATURES = {
    *(
        "enum",
        "const",
        "items",
        "prefixItems",
        "contains",
        "uniqueItems",
        "minItems",
        "maxItems",
        "$ref",
        "$dynamicRef",
    ),
    *("oneOf", "anyOf", "allOf", "not", "if", "dependentRequired", "dependentSchemas", "dependencies"),
    *("patternProperties", "propertyNames", "unevaluatedProperties", "minProperties", "maxProperties"),
    *("pattern", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "multipleOf",
}


def run(spec: Spec, out: Path) -> Result:
    """Writes `items.jsonl`, `excluded.jsonl` and `shots.jsonl`. Raises TrellisError for an item whose gold does not fit
    its own schema, and for a suite of which too little fits."""
    name, suite = spec.config["name"], TypeAdapter(Suite).validate_python(spec.config["suite"])
    built = importlib.import_module(f"trellis.evaluate.suites.{suite.kind}").build(suite, name, spec)
    folder = spec.input("tokenizer").path("tokenizer/tokenizer.json").parent
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    attach(tokenizer, spec.config["template"])
    room, longest = spec.config["room"], spec.config["max_new_tokens"]
    items, excluded = fitting(built, tokenizer, room, longest)
    if not items or (built.wanted or 0) > len(items):
        asked = f"{built.wanted} items are asked for, and" if built.wanted else "of its items"
        raise TrellisError(
            f"evaluation.suites.{name}: {asked} {len(items)} have a prompt of at most {room} tokens and an answer of less "
            f"than {longest} ({len(excluded)} have more); ask for fewer, or raise pretraining.context"
        )
    for item in items:
        check_gold(item)
    rows = {
        file: write_records(out / file, records)
        for file, records in (("items.jsonl", items), ("excluded.jsonl", excluded), ("shots.jsonl", built.shots))
    }
    metrics = {
        "kind": suite.kind,
        "splits": {
            split: _counts([item for item in items if item["split"] == split])
            for split in sorted({item["split"] for item in items})
        },
        "features": dict(sorted(Counter(feature for item in items for feature in features(item["schema"])).items())),
        "excluded": len(excluded),
        "baselines": built.baselines,
        "sha256": file_sha256(out / "items.jsonl"),
    }
    return Result(metrics, rows)


def fitting(
    built: Built, tokenizer: PreTrainedTokenizerFast, room: int, longest: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first `wanted` items, `of_each` stratum, whose prompt has at most `room` tokens and whose right answer, with the
    end of turn, at most `longest`; and (id, n_prompt, n_answer: null without an answer) of those passed over."""
    items, excluded, taken = [], [], Counter()
    for item in built.items:
        if len(items) == built.wanted:
            break
        if taken[item["stratum"]] == built.of_each:
            continue
        prompt = tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, return_dict=False)
        answer = None if item["answer"] is None else len(answer_ids(tokenizer, item["answer"])) + 1
        if len(prompt) <= room and (answer or 0) <= longest:
            items.append(item)
            taken[item["stratum"]] += 1
        else:
            excluded.append({"id": item["id"], "n_prompt": len(prompt), "n_answer": answer})
    return items, excluded


def check_gold(item: dict[str, Any]) -> None:
    """Raises TrellisError, naming the item, when its gold does not fit its schema, or its schema is none."""
    if item["schema"] is None:
        return
    try:
        checks = validator(item["schema"])
    except NotASchema as error:
        raise TrellisError(f"evaluate_items: the schema of item {item['id']} cannot be used: {error}") from None
    if item["gold"] is not None and (error := next(checks.iter_errors(item["gold"]), None)) is not None:
        raise TrellisError(f"evaluate_items: the gold of item {item['id']} does not fit its schema: {error.message}")


def features(schema: Any) -> set[str]:
    """What a schema uses of JSON Schema: its keywords, but for words for people and what every object has; and what is no
    keyword: nested (an object in a property), optional (a property that may be absent), nullable."""
    found, waiting = set(), [schema]
    while waiting:
        node = waiting.pop()
        children = list(subschemas(node))
        waiting += [child for _, _, child in children]
        if not isinstance(node, dict):
            continue
        found |= node.keys() & FEATURES
        properties = {pointer: child for keyword, pointer, child in children if keyword == "properties"}
        if any(isinstance(child, dict) and "properties" in child for child in properties.values()):
            found.add("nested")
        if len(properties) > len(node.get("required", ())):
            found.add("optional")
        if isinstance(node.get("type"), list) and "null" in node["type"]:
            found.add("nullable")
    return found


def _counts(items: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "items": len(items),
        "clusters": len({item["cluster"] for item in items}),
        "with_gold": sum(item["gold"] is not None for item in items),
    }
