"""Scoring: answers per second of processor time on one core, by suite, beside the plain way to check JSON in Python.

    python benchmarks/score.py [--items 3000]

Items of the suites schema (of 1,000 schemas with 2 to 8 properties, in all strata), extraction, format and text-to-SQL. Of
eight answers four are the gold, two have a value changed, one is cut off and one is fenced.

The peer does less: `json.loads`, and `is_valid` of jsonschema's validator with its format checker, one validator a schema
(kept, as ours are). It computes neither equality nor any F1, and takes NaN and keys twice. SQL has none: its time is that of
sqlite in the sandbox's process, so it is counted on the clock.
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
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import jsonschema  # noqa: E402

from trellis.chat import answer_json  # noqa: E402
from trellis.evaluate.scorers import extraction, format, schema, text_to_sql  # noqa: E402
from trellis.evaluate.strata import assemble, draw_properties  # noqa: E402
from trellis.evaluate.suites import extraction as extraction_suite  # noqa: E402
from trellis.evaluate.suites import format as format_suite  # noqa: E402
from trellis.evaluate.suites import text_to_sql as text_to_sql_suite  # noqa: E402
from trellis.evaluate.vocabulary import KINDS, Property  # noqa: E402
from trellis.experiment.evaluation import ExtractionSuite, FormatSuite, Stratum, TextToSqlSuite  # noqa: E402
from trellis.schema_tasks import make_task, seeded  # noqa: E402

SCHEMAS, REPEATS = 1_000, 3
SPECS = {"enum": {"type": "string", "enum": ["low", "high"]}, "array": {"type": "array", "items": {"type": "number"}}}


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=3_000)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    suites = {
        "schema": (schema, schema_items(args.items)),
        "extraction": (extraction, own_items(extraction_suite, ExtractionSuite(kind="extraction", items=args.items))),
        "format": (format, own_items(format_suite, FormatSuite(kind="format", items=args.items))),
        "text-to-SQL": (text_to_sql, own_items(text_to_sql_suite, TextToSqlSuite(kind="text_to_sql", items=200))),
    }
    print(f"# Scoring on one core, {datetime.date.today()}\n")
    print(f"{processor()}, Python {platform.python_version()}, jsonschema_rs {version('jsonschema_rs')}, ", end="")
    print(f"jsonschema {version('jsonschema')}, sqlite {sqlite3.sqlite_version}; best of {REPEATS}.\n")
    print(
        "| suite | answers | median characters | answers per second | peer | ratio to the peer |\n|---|---|---|---|---|---|"
    )
    for name, (scorer, items) in suites.items():
        answers = [(item, spoilt(item["answer"], place)) for place, item in enumerate(items)]
        clock = time.perf_counter if name == "text-to-SQL" else time.process_time
        ours = rate(lambda answers=answers, scorer=scorer: [scorer.score(*each) for each in answers], len(items), clock)
        length = sorted(len(output) for _, output in answers)[len(answers) // 2]
        row = f"| {name} | {len(items):,} | {length} | {ours:,.0f} |"
        if name in ("schema", "extraction"):
            peer = rate(lambda answers=answers: plain(answers), len(items), clock)
            print(f"{row} {peer:,.0f} | {ours / peer:.1f} |")
        else:
            print(f"{row} | |")


def schema_items(count: int) -> list[dict[str, Any]]:
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


def own_items(module: Any, suite: Any) -> list[dict[str, Any]]:
    built = module.build(suite, suite.kind, SimpleNamespace(config={"shots": 0}))
    return [item for item, _ in zip(built.items, range(suite.items), strict=False)]


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


def plain(answers: list[tuple[dict[str, Any], str]]) -> list[bool]:
    """The plain way: parsed, and valid."""
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
