"""Scoring: answers per second on one core, by suite and of the study's mix, beside the plain ways to check answers in Python.

    python benchmarks/score.py [--items 3000]

The goal is 5,000 items a second. Items of the suites schema (of 1,000 schemas with 2 to 8 properties, in all strata),
extraction, format and text-to-SQL; BFCL's 3,491 questions, of which a third have no gold, so that words answer them; and the
real schemas of the demo's wheel check-jsonschema. Of eight answers four are the gold (an instance of the real schema, where
a simple one can be made), two have a value changed, one is cut off and one is fenced.

The peers do less. Of schema, extraction and json_schema: `json.loads`, and `is_valid` of jsonschema's validator with its
format checker, one validator a schema (kept, as ours are); it computes neither equality nor any F1, and takes NaN and keys
twice. Of function_calling: `json.loads`, and BFCL's own `ast_checker` where certain calls are right, without the schema,
equality or any F1; a row of its own has our verdict alone beside it. The others have none. Times are of the processor; where
there is SQL, the clock's, for that is executed by sqlite in the sandbox's process.

The mix is the free answers to as many items as `config/experiments/trellis-506m.yaml` asks for, in one process; unlike in
the rows above, every validator is compiled anew in each repeat, and each of the real schemas is asked once.
"""

import argparse
import datetime
import json
import os
import platform
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, get_args

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

import jsonschema  # noqa: E402

from bfcl_oracle import NoModelChangesNames  # noqa: E402
from trellis.chat import answer_json  # noqa: E402
from trellis.evaluate.bfcl import CATEGORIES, read_entries  # noqa: E402
from trellis.evaluate.calls import right as right_calls  # noqa: E402
from trellis.evaluate.candidates import read_candidates  # noqa: E402
from trellis.evaluate.scorers import extraction, format, function_calling, json_schema, schema, text_to_sql  # noqa: E402
from trellis.evaluate.strata import assemble, draw_properties  # noqa: E402
from trellis.evaluate.suites import extraction as extraction_suite  # noqa: E402
from trellis.evaluate.suites import format as format_suite  # noqa: E402
from trellis.evaluate.suites import function_calling as function_calling_suite  # noqa: E402
from trellis.evaluate.suites import json_schema as json_schema_suite  # noqa: E402
from trellis.evaluate.suites import text_to_sql as text_to_sql_suite  # noqa: E402
from trellis.evaluate.validator import resolved, validator  # noqa: E402
from trellis.evaluate.vocabulary import KINDS, Property  # noqa: E402
from trellis.experiment.evaluation import ExtractionSuite, FormatSuite, Stratum, TextToSqlSuite, WheelSchemas  # noqa: E402
from trellis.experiment.whole import load_experiment  # noqa: E402
from trellis.schema_tasks import make_task, seeded  # noqa: E402

GOAL = 5_000
SCHEMAS, REPEATS = 1_000, 3
SPECS = {"enum": {"type": "string", "enum": ["low", "high"]}, "array": {"type": "array", "items": {"type": "number"}}}
REAL = WheelSchemas(
    kind="wheel", package="check-jsonschema", members=["check_jsonschema/builtin_schemas/vendor/*.json"]
)
OWN = {
    "extraction": (extraction_suite, ExtractionSuite),
    "format": (format_suite, FormatSuite),
    "text_to_sql": (text_to_sql_suite, TextToSqlSuite),
}
OWN_SCORERS = {"extraction": extraction, "format": format, "text_to_sql": text_to_sql}
Item = dict[str, Any]
Answers = list[tuple[Item, str]]


class Peer(NamedTuple):
    """Another way to judge answers, by name."""

    name: str
    judge: Callable[[Answers], object]


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=3_000)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    validators, bfcl = Peer("jsonschema", plain), Peer("BFCL's ast_checker", bfcl_checker())
    calls, real = call_items(), real_items()
    suites = {
        "schema": (schema, schema_items(args.items), validators),
        "function_calling": (function_calling, calls, bfcl),
        "function_calling, the verdict alone": (SimpleNamespace(score=verdict), calls, bfcl),
        "json_schema": (json_schema, list(islice(cycle(real), args.items)), validators),
        "extraction": (extraction, own_items("extraction", args.items), validators),
        "format": (format, own_items("format", args.items), None),
        "text-to-SQL": (text_to_sql, own_items("text_to_sql", 500), None),
    }
    valid = sum(validator(item["schema"]).is_valid(json.loads(item["answer"])) for item in real)
    print(f"# Scoring on one core, {datetime.date.today()}\n")
    print(f"{processor()}, Python {platform.python_version()}, jsonschema_rs {version('jsonschema_rs')}, ", end="")
    print(f"jsonschema {version('jsonschema')}, sqlite {sqlite3.sqlite_version}; best of {REPEATS}.")
    print(f"The goal is {GOAL:,} items per second. {len(real)} real schemas, {valid} with an answer that is valid.\n")
    print(
        "| suite | answers | median characters | answers per second | meets the goal | peer | its | ratio to the peer |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (scorer, items, peer) in suites.items():
        made = answers(items)
        clock = time.perf_counter if name == "text-to-SQL" else time.process_time
        ours = rate(lambda made=made, scorer=scorer: [scorer.score(*each) for each in made], len(made), clock)
        theirs = rate(lambda made=made, peer=peer: peer.judge(made), len(made), clock) if peer else None
        report(name, made, ours, peer and f"{peer.name} | {theirs:,.0f} | {ours / theirs:.1f}")
    mixed(calls, real)


def mixed(calls: list[Item], real: list[Item]) -> None:
    """The last row: all suites in the study's sizes, and what text-to-SQL takes of it."""
    study = load_experiment(ROOT / "config/experiments/trellis-506m.yaml").evaluation.suites
    asked = {suite.kind: suite for suite in study.values()}
    sizes = {kind: asked[kind].items for kind in ("json_schema", "extraction", "format", "text_to_sql")}
    # Each with a schema of its own, as the study's 1,500 are.
    own = [
        item | {"schema": {**item["schema"], "$comment": f"{place}"}}
        for place, item in enumerate(islice(cycle(real), sizes["json_schema"]))
    ]
    suites = [
        (schema, schema_items(asked["schema"].seen + asked["schema"].unseen)),
        (function_calling, calls),
        (json_schema, own),
        *((scorer, own_items(kind, sizes[kind])) for kind, scorer in OWN_SCORERS.items()),
    ]
    parts = [(scorer, answers(items)) for scorer, items in suites]
    every = [each for _, made in parts for each in made]

    def score(chosen: list[tuple[ModuleType, Answers]]) -> None:
        schema.cached_validator.cache_clear()
        for scorer, made in chosen:
            for each in made:
                scorer.score(*each)

    found = rate(lambda: score(parts), len(every), time.perf_counter)
    report("all six, in the study's sizes", every, found, None)
    sql = sizes["text_to_sql"] / rate(lambda: score(parts[-1:]), sizes["text_to_sql"], time.perf_counter)
    print(f"\nText-to-SQL is {100 * sizes['text_to_sql'] / len(every):.0f} % of the mix's items ", end="")
    print(f"and {100 * sql * found / len(every):.0f} % of its time.")


def report(name: str, made: Answers, found: float, peer: str | None) -> None:
    length = sorted(len(output) for _, output in made)[len(made) // 2]
    meets = "yes" if found >= GOAL else "no"
    print(f"| {name} | {len(made):,} | {length} | {found:,.0f} | {meets} | {peer or '| |'} |", flush=True)


def answers(items: list[Item]) -> Answers:
    return [(item, spoilt(item["answer"], place)) for place, item in enumerate(items)]


def schema_items(count: int) -> list[Item]:
    """Items as the schema suite makes them, of invented names."""
    by_kind = {
        kind: [Property(f"{kind}_{place}", kind, SPECS.get(kind, {"type": kind}), "") for place in range(400)]
        for kind in KINDS
    }
    strata, schemas = get_args(Stratum), []
    for number in range(SCHEMAS):
        rng, stratum = seeded("schema", number), strata[number % len(strata)]
        while True:
            drawn = draw_properties(stratum, by_kind, (2, 8), rng)
            if len({each.name for each in (*drawn.leaves, *drawn.others)}) == len(drawn.leaves) + len(drawn.others):
                break
        schemas.append((stratum, assemble(stratum, drawn, rng)))
    items = []
    for place in range(count):
        stratum, made = schemas[place % SCHEMAS]
        _, gold, _ = make_task(made, stratum, "evaluation", 1.0, seeded("item", place))
        items.append({"schema": made, "gold": gold, "answer": answer_json(gold), "check": None})
    return items


def call_items() -> list[Item]:
    """BFCL's, with their functions and category for the peer; where there is no gold, words are the answer."""
    path, items = wheel("bfcl_eval"), []
    for category in CATEGORIES:
        functions = {f"calls-{entry['id']}": entry["function"] for entry in read_entries(path, category)}
        for item in function_calling_suite.make_items(path, category, "calls", seed=0):
            answer = item["answer"] or function_calling_suite.NO_TOOL
            items.append(item | {"answer": answer, "functions": functions[item["id"]]})
    return items


def real_items() -> list[Item]:
    """Of each real schema, with the first answer that is valid, else the last that was tried."""
    fetched = SimpleNamespace(metrics={"package": REAL.package}, paths=lambda _: [wheel("check_jsonschema")])
    items = []
    for candidate in read_candidates([REAL], [fetched], []).kept:
        item, fits = json_schema_suite.make_item("real", candidate), validator(candidate.schema).is_valid
        for share in (0.5, 0.2, 0.0, 1.0):
            made = instance(item["schema"], item["schema"], random.Random(candidate.id), share)
            item["answer"] = answer_json(made)
            if fits(made):
                break
        items.append(item)
    return items


def instance(node: Any, root: Any, rng: random.Random, share: float, depth: int = 0) -> Any:
    """A value that may fit: the required properties and a share of the others, of alternatives the first."""
    if not isinstance(node, dict) or depth > 8:
        return {}
    again = [node[key][0] for key in ("anyOf", "oneOf", "allOf") if node.get(key)]
    again += [resolved(root, node["$ref"])] if "$ref" in node else []
    if "const" in node or "enum" in node:
        return node.get("const", node.get("enum", [None])[0])
    kind = node.get("type", "object" if "properties" in node else None)
    match kind[0] if isinstance(kind, list) else kind:
        case None:
            return instance(again[0], root, rng, share, depth + 1) if again else "a value"
        case "object":
            known, required = node.get("properties", {}), node.get("required", [])
            names = [*required, *(name for name in known if name not in required and rng.random() < share)]
            return {name: instance(known.get(name), root, rng, share / 2, depth + 1) for name in names}
        case "array":
            child = node.get("items", {})
            return [instance(child, root, rng, share, depth + 1) for _ in range(max(node.get("minItems", 1), 1))]
        case "string":
            formats = {"date": "2024-02-29", "date-time": "2024-02-29T10:00:00Z", "email": "a@example.org"}
            formats |= dict.fromkeys(("uri", "uri-reference", "iri"), "https://example.org/a")
            return formats.get(node.get("format", ""), "a value".ljust(node.get("minLength", 0), "s"))
        case "integer" | "number":
            return node.get("minimum", node.get("exclusiveMinimum", 6) + 1)
        case "boolean":
            return rng.random() < 0.5
    return None


def own_items(kind: str, count: int) -> list[Item]:
    module, section = OWN[kind]
    built = module.build(section(kind=kind, items=count), kind, SimpleNamespace(config={"shots": 0}))
    return list(islice(built.items, count))


def spoilt(answer: str, place: int) -> str:
    """The gold answer, or what a model may make of it."""
    match place % 8:
        case 1 | 5:
            middle = len(answer) // 2
            digit = next((at for at in (*range(middle, len(answer)), *range(middle)) if answer[at].isdigit()), middle)
            return f"{answer[:digit]}{random.Random(place).randint(1, 9)}{answer[digit + 1 :]}"
        case 3:
            return answer[: 2 * len(answer) // 3]
        case 7:
            return f"Here it is:\n```\n{answer}\n```"
        case _:
            return answer


VALIDATORS: dict[str, Any] = {}


def plain(answers: Answers) -> list[bool]:
    """Parsed, and valid."""
    found = []
    for item, output in answers:
        key = json.dumps(item["schema"])
        if key not in VALIDATORS:
            kind = jsonschema.validators.validator_for(item["schema"], default=jsonschema.Draft202012Validator)
            VALIDATORS[key] = kind(item["schema"], format_checker=kind.FORMAT_CHECKER)
        try:
            found.append(VALIDATORS[key].is_valid(json.loads(output)))
        except ValueError:
            found.append(False)
    return found


def verdict(item: Item, output: str) -> bool:
    """What `ast` is, and where no call is right, `called`."""
    made, check = function_calling.read_calls(output), item["check"]
    right = check["answers"]
    return right_calls(made, right, check["functions"]) if right else bool(made) == (right is None)


def bfcl_checker() -> Callable[[Answers], object]:
    """BFCL's verdicts out of its wheel, whose table of all vendors' clients is replaced, as the tests' oracle does."""
    stub = ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = NoModelChangesNames()
    sys.modules[stub.__name__] = stub
    sys.path.insert(0, str(wheel("bfcl_eval")))
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    def judge(answers: Answers) -> list[bool]:
        found = []
        for item, output in answers:
            try:
                calls = [{call["name"]: call["arguments"]} for call in json.loads(output)]
            except (ValueError, TypeError, KeyError):
                calls = []
            if not (right := item["check"]["answers"]):
                found.append(bool(calls) == (right is None))
                continue
            given = (item["functions"], calls, right, Language.PYTHON, item["stratum"], "any")
            found.append(bool(calls) and ast_checker(*given)["valid"])
        return found

    return judge


def wheel(package: str) -> Path:
    found = sorted((ROOT / ".cache/wheels").glob(f"{package}-*.whl"))
    if not found:
        raise SystemExit(f".cache/wheels has no {package}; `pytest -m wheels` fetches it")
    return found[-1]


def rate(work: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    """Answers per second, the best of some repeats after one that warms up."""
    seconds = []
    for _ in range(REPEATS + 1):
        begin = clock()
        work()
        seconds.append(clock() - begin)
    return count / min(seconds[1:])


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
