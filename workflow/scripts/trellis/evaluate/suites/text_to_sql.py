"""Questions about small databases, answered by SQL that is executed.

The prompt shows the tables and not their rows: there are two fillings of these, drawn until the gold query gives other rows
over each, and until each careless query (see `sql_questions`) differs from it over one of them. So no constant is an
answer. The questions of a database, one a stratum, are a cluster. Where nothing is joined, half of the databases are one
table alone, which fits the context of a small model.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

from trellis.address import digest
from trellis.errors import TrellisError
from trellis.evaluate.sandbox import Sandbox, same_rows
from trellis.evaluate.suites import Built
from trellis.evaluate.suites.sql_databases import Database, draw_database, fill
from trellis.evaluate.suites.sql_questions import STRATA, Draw, Question, ask
from trellis.experiment.evaluation import TextToSqlSuite
from trellis.schema_tasks import seeded
from trellis.spec import Spec

INSTRUCTION = "Answer with one SQLite query."
FILLINGS, ATTEMPTS = 2, 200
# How many candidates there are for an item that is asked for: long ones do not fit a short context.
CANDIDATES = 4


def build(suite: TextToSqlSuite, name: str, spec: Spec) -> Built:
    """The strata in turn, a database each round. The shots are of one table each, and no join."""
    shots = []
    with contextlib.closing(Sandbox()) as sandbox:
        for place in range(spec.config["shots"]):
            rng = seeded(suite.seed, "shots", place)
            database = draw_database(place, rng)._replace(alone=True)
            question, _ = make_task(list(STRATA)[place % (len(STRATA) - 1)], database, rng, sandbox)
            shots.append({"messages": messages(database, question), "answer": question.query})
    return Built(make_items(suite, name), shots, suite.items, baselines={"SELECT 1": 0.0})


def make_items(suite: TextToSqlSuite, name: str) -> Iterator[dict[str, Any]]:
    """Candidates, in their order; the first ones are the same for every number of items."""
    with contextlib.closing(Sandbox()) as sandbox:
        for index in range(suite.items * CANDIDATES):
            number, place = divmod(index, len(STRATA))
            stratum = list(STRATA)[place]
            database = draw_database(number, seeded(suite.seed, name, "database", number))
            database = database._replace(alone=database.alone and stratum != "join")
            question, check = make_task(stratum, database, seeded(suite.seed, name, index), sandbox)
            yield {
                "id": f"{name}-{index:05d}",
                "suite": name,
                "kind": "text_to_sql",
                "split": "unseen",
                "stratum": stratum,
                "cluster": f"{name}-{number:05d}",
                "schema_id": digest(database.statements())[:16],
                "schema": None,
                "messages": messages(database, question),
                "gold": question.query,
                "answer": question.query,
                "check": check,
            }


def messages(database: Database, question: Question) -> list[dict[str, str]]:
    """The prompt: the tables, the question, and how to answer it."""
    tables = "".join(f"{statement};\n" for statement in database.statements())
    return [{"role": "user", "content": f"{tables}{question.text} {INSTRUCTION}"}]


def make_task(
    stratum: str, database: Database, rng: random.Random, sandbox: Sandbox
) -> tuple[Question, dict[str, Any]]:
    """A question of the stratum, and what its scorer needs."""
    tables = database.statements()
    for _ in range(ATTEMPTS):
        fillings = [fill(database, rng) for _ in range(FILLINGS)]
        question = ask(stratum, Draw(database, fillings[0], rng))
        wanted = sandbox.execute(tables, fillings, question.query).results
        careless = [sandbox.execute(tables, fillings, each).results for each in question.careless]
        if _tells(wanted, careless, question.ordered):
            results = [[list(map(_rounded, row)) for row in rows] for rows in wanted]
            return question, {"tables": tables, "fillings": fillings, "results": results, "ordered": question.ordered}
    raise TrellisError(f"evaluate_items: no rows tell right from wrong for a {stratum} question over {tables}")


def _tells(wanted: list[Any], careless: list[list[Any]], ordered: bool) -> bool:
    """Whether every filling has rows, no two the same, and no careless query gives the wanted ones over all."""
    if not all(rows and rows != [[None]] for rows in wanted) or same_rows(wanted[0], wanted[1], False):
        return False
    pairs = [zip(found, wanted, strict=True) for found in careless]
    return not any(all(same_rows(found, rows, ordered) for found, rows in each) for each in pairs)


def _rounded(cell: Any) -> Any:
    """Ten significant digits: what follows depends on the version of sqlite that adds."""
    return float(f"{cell:.10g}") if isinstance(cell, float) else cell
