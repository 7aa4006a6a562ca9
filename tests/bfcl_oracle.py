"""BFCL's own checker, run in a process of its own: `python bfcl_oracle.py WHEEL CASES` prints a JSON list of verdicts.

A case is [functions, calls [{name: {parameter: value}}], possible answers, category]. A verdict is true or false; the name of
the exception where the checker raises one. The module that would import every vendor's client is replaced by a table in
which no function name is changed; the rest is what the wheel holds.
"""

import json
import sys
from types import ModuleType, SimpleNamespace


class NoModelChangesNames(dict):
    def __missing__(self, model):
        return SimpleNamespace(underscore_to_dot=False)


def main(wheel: str, cases: str) -> None:
    stub = ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = NoModelChangesNames()
    sys.modules[stub.__name__] = stub
    sys.path.insert(0, wheel)
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    verdicts = []
    with open(cases, encoding="utf-8") as file:
        for functions, calls, answers, category in map(json.loads, file):
            try:
                found = ast_checker(functions, calls, answers, Language.PYTHON, category, "any_model")["valid"]
            except Exception as error:
                found = type(error).__name__
            verdicts.append(found)
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
