"""SQL judged by what it gives: its rows over hidden fillings of the database against those of the gold query.

The accuracy of execution over several databases is that of test suites (Zhong, Yu and Klein 2020, "Semantic Evaluation for
Text-to-SQL with Distilled Test Suites").
"""

import atexit
from typing import Any

from trellis.evaluate.answer import fenced
from trellis.evaluate.sandbox import Sandbox, same_rows

SANDBOX = Sandbox()
atexit.register(SANDBOX.close)


def score(item: dict[str, Any], output: str) -> dict[str, float | None]:
    """The metrics of one answer; `check` is {tables, fillings, results, ordered}."""
    check = item["check"]
    found = SANDBOX.execute(check["tables"], check["fillings"], output)
    lenient = found.compiled
    if not lenient and (inside := fenced(output)) is not None:
        lenient = SANDBOX.execute(check["tables"], check["fillings"], inside).compiled
    right = all(same_rows(*pair, check["ordered"]) for pair in zip(found.results, check["results"], strict=True))
    return {"parse": float(found.compiled), "parse_lenient": float(lenient), "execution": float(right)}
