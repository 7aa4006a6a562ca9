"""The validator against the official JSON Schema Test Suite and the reference implementation, `jsonschema`.

The suite is the one that jsonschema's source distribution carries; it is fetched with pip by its hash.
"""

import json
import subprocess
import sys
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

from trellis.evaluate.validator import NotASchema, validator

ROOT = Path(__file__).parents[2]
PIN = "jsonschema==4.26.0 --hash=sha256:0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
# Where the validator differs from the suite: a format is an annotation there, and is checked here.
ANNOTATION = "format.json"
# Where `jsonschema` differs from the suite, and the validator does not.
REFERENCE_DIFFERS = {
    "optional/ecmascript-regex.json": "it takes Python's regular expressions",
    "optional/content.json": "it does not decode contents",
    "optional/dependencies-compatibility.json": "it does not know `dependencies` after draft 7",
    "optional/format/": "it checks a format only where an optional package is installed",
}


@pytest.fixture(scope="module")
def cases():
    """[(file within its draft, schema with its `$schema`, tests {description, data, valid})]"""
    folder = ROOT / ".cache" / "sdists"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jsonschema-4.26.0.tar.gz"
    if not path.exists():
        requirement = folder / "jsonschema.txt"
        requirement.write_text(f"{PIN}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--no-binary=jsonschema", "-r", str(requirement), "-d", str(folder)]
        subprocess.run(command, check=True)
    found = []
    with tarfile.open(path) as archive:
        for member in archive:
            draft, _, name = member.name.partition("/json/tests/")[2].partition("/")
            if draft in DRAFTS and name.endswith(".json"):
                for case in json.load(archive.extractfile(member)):
                    schema = case["schema"]
                    if isinstance(schema, dict):
                        schema = {"$schema": DRAFTS[draft], **schema}
                    found.append((name, schema, case["tests"]))
    return found


@pytest.fixture(scope="module")
def verdicts(cases):
    """[(file, test, label, ours, the reference's)] of all that is not refused, and how many tests are, by file."""
    found, refused = [], Counter()
    for name, schema, tests in cases:
        try:
            ours = validator(schema)
        except NotASchema as error:
            assert error.reason in ("remote_reference", "not_compiled")
            refused[name] += len(tests)
            continue
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        reference = kind(schema, format_checker=kind.FORMAT_CHECKER)
        for test in tests:
            data = test["data"]
            found.append((name, test["description"], test["valid"], ours.is_valid(data), verdict(reference, data)))
    return found, refused


def verdict(reference, data):
    """None where the reference fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return reference.is_valid(data)
        except Exception:
            return None


@pytest.mark.wheels
def test_the_suite_is_there_in_all_drafts(verdicts):
    found, refused = verdicts
    assert len(found) > 6_800 and sum(valid for _, _, valid, _, _ in found) > 3_000
    assert sum(refused.values()) < 400


@pytest.mark.wheels
def test_the_validator_gives_every_answer_of_the_suite(verdicts):
    differ = [(name, says) for name, says, valid, ours, _ in verdicts[0] if ours != valid]
    assert {name for name, _ in differ} == {ANNOTATION}
    assert len(differ) == 19 and all(says.endswith("is only an annotation by default") for _, says in differ)


@pytest.mark.wheels
def test_the_validator_agrees_with_the_reference_but_for_known_reasons(verdicts):
    differ = [each for each in verdicts[0] if each[3] != each[4]]
    unknown = [each for each in differ if each[0] != ANNOTATION and not each[0].startswith(tuple(REFERENCE_DIFFERS))]
    assert not unknown
    # And there the suite says that the validator is right.
    assert all(valid == ours for name, _, valid, ours, _ in differ if name != ANNOTATION)
    required = [each for each in verdicts[0] if not each[0].startswith("optional/") and each[0] != ANNOTATION]
    assert len(required) > 4_000 and all(ours == theirs == valid for _, _, valid, ours, theirs in required)


@pytest.mark.wheels
def test_what_is_refused_leads_elsewhere(verdicts):
    """References to other documents, to other identifiers, and meta-schemas that are not standard."""
    of = {"ref", "refRemote", "dynamicRef", "recursiveRef", "anchor", "definitions", "defs", "vocabulary"}
    of |= {"unevaluatedItems", "unevaluatedProperties"}
    of |= {f"optional/{name}" for name in ("id", "cross-draft", "unknownKeyword", "format-assertion", "dynamicRef")}
    assert {name.removesuffix(".json") for name in verdicts[1]} <= of
