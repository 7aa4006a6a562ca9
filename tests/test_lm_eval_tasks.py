"""The exported suites, run by lm-eval: the outputs are those of our own generate, the figures those of our own scores."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from publishing import publish
from small_models import publish_model
from trellis.command import execute
from trellis.evaluate import METRICS
from trellis.evaluate.calls import signature
from trellis.evaluate.score import means, row
from trellis.evaluate.suites import text_to_sql
from trellis.experiment.evaluation import TextToSqlSuite
from trellis.job import Job
from trellis.lm_eval_tasks import METRICS as EXPORTED
from trellis.lm_eval_tasks import export
from trellis.manifest import file_sha256
from trellis.plan import load_plan
from trellis.records import read_records, write_records

ROOT = Path(__file__).parents[1]
CONTEXT = 192
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CALL = [{"name": "f", "arguments": {"x": 1}}]
PARAMETERS = {"type": "dict", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
SIGNATURES = {"f": signature({"name": "f", "description": "", "parameters": PARAMETERS})}


def item(suite, split, question, gold, schema=None, check=None, answer=None):
    kind = suite.replace("-", "_")
    answer = answer or (json.dumps(gold, separators=(",", ":")) if gold is not None else None)
    common = {"suite": suite, "kind": kind, "split": split, "stratum": "s", "cluster": "c", "schema_id": None}
    messages = [{"role": "user", "content": question}]
    return common | {
        "id": f"{suite}-{question}",
        "schema": schema,
        "messages": messages,
        "gold": gold,
        "answer": answer,
        "check": check,
    }


def suites():
    spec, suite = SimpleNamespace(config={"shots": 1}), TextToSqlSuite(kind="text_to_sql", items=1)
    sql = next(iter(text_to_sql.build(suite, "text-to-sql", spec).items))
    calls = {"answers": [{"f": {"x": [1]}}], "functions": SIGNATURES}
    irrelevant = {"answers": [], "functions": SIGNATURES}
    return [
        item("schema", "seen", "a", {"a": 1}, SCHEMA),
        item("schema", "seen", "b {{a}}", {"a": 2}, SCHEMA),
        item("schema", "unseen", "c", {"a": 3}, SCHEMA),
        item("schema", "unseen", "d", {"a": 4}, SCHEMA),
        item("schema", "unseen", "e <|endoftext|>", None, SCHEMA),
        item("json-schema", "unseen", "f", None, SCHEMA),
        item("extraction", "unseen", "g", [{"a": 5}], {"type": "array"}),
        item("format", "unseen", "h", {"a": 6}, check={"format": "yaml"}, answer="a: 6\n"),
        item("format", "unseen", "i", {"a": 7}, check={"format": "toml"}, answer="a = 7\n"),
        item("function-calling", "unseen", "j", CALL, {"type": "array"}, calls),
        item("function-calling", "unseen", "k", None, None, irrelevant),
        item("text-to-sql", "unseen", "l", "SELECT 1", check=sql["check"], answer="SELECT 1"),
    ]


LESSONS = [
    ("a", '{"a":1}'),
    ("b {{a}}", '{"a":9}'),
    ("c", '{"a":3}'),
    ("d", "{}"),
    ("e  ", '{"a":0}'),
    ("f", '{"a":8}'),
    ("g", '[{"a":5}]'),
    ("h", "a: 6\n"),
    ("j", '[{"name":"f","arguments":{}}]'),
    ("l", "SELECT 1"),
]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """The demo's plan, its suites built of these items, and one suite more for each kind that it lacks."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    monkeypatch.chdir(tmp_path)
    plan, by_suite = load_plan(tmp_path), {}
    for each in suites():
        by_suite.setdefault(each["suite"], []).append(each)
    jobs = {job.name: job for job in plan.of_rule("evaluate_items")}
    assert jobs.keys() <= {f"items-{suite}" for suite in by_suite}
    for suite, items in by_suite.items():
        job = jobs.setdefault(f"items-{suite}", Job("evaluate", "items", f"items-{suite}", {"name": suite}))
        write_records(job.folder / "items.jsonl", items)
        write_records(job.folder / "shots.jsonl", [])
        publish(job.folder, metrics={"sha256": file_sha256(job.folder / "items.jsonl")})
    return replace(plan, jobs=list(jobs.values()))


def test_lm_eval_gives_our_figures(plan, tmp_path, make_spec):
    lm_eval = pytest.importorskip("lm_eval", reason="the optional extra `knowledge` is not installed")
    pytest.importorskip("lm_eval.tasks")
    model = publish_model(tmp_path / "model", context=CONTEXT, lessons=LESSONS)
    names = export(plan, tmp_path / "tasks")
    theirs = lm_eval.simple_evaluate(
        "hf",
        model_args={"pretrained": str(model / "model"), "dtype": "float32"},
        tasks=names,
        device="cpu",
        batch_size=4,
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
    )
    compared, new = set(), plan.experiment.evaluation.generation.max_new_tokens
    for job in plan.of_rule("evaluate_items"):
        generation = {"max_new_tokens": new, "batch": 4, "modes": ["free"], "shots": 1}
        config = {"generation": generation, "template": "plain", "base": False}
        out = tmp_path / f"out-{job.name}"
        execute(make_spec("evaluate", "generate", job.name, config, {"model": [model], "items": [job.folder]}), out)
        items = list(read_records(job.folder / "items.jsonl"))
        made = list(read_records(out / "generations.jsonl"))
        ours = means([row(*pair, None) for pair in zip(items, made, strict=True)])
        for suite, splits in ours.items():
            for split, modes in splits.items():
                name = f"trellis_{suite}" if split == "unseen" else f"trellis_{suite}_{split}"
                written = [sample["filtered_resps"][0] for sample in theirs["samples"][name]]
                assert written == [
                    each["output"]
                    for each in made
                    if each["id"] in {item["id"] for item in items if item["split"] == split}
                ]
                for metric in EXPORTED:
                    value = theirs["results"][name].get(f"{metric},none")
                    assert value == (None if modes["free"][metric] is None else pytest.approx(modes["free"][metric]))
                    compared |= {(suite, value)} if value is not None else set()
                assert theirs["n-samples"][name]["effective"] == modes["free"]["items"]
    assert {value for suite, value in compared if suite == "schema"} >= {0.5, 1.0}, "figures that differ"
    assert {suite for suite, value in compared if value > 0} >= set(plan.experiment.evaluation.suites) - {
        "function-calling"
    }


def test_every_metric_that_the_text_decides_is_exported():
    assert set(EXPORTED) == set(METRICS) - {"truncated", "nll_per_byte"}


def test_the_command_writes_what_has_been_built(plan, tmp_path):
    def tasks(to):
        command = [sys.executable, "-m", "trellis", "tasks", "--to", to]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    names = tasks("x").stdout.split()
    assert {f"{name}.yaml" for name in names} == {path.name for path in (tmp_path / "x").glob("*.yaml")}
    assert {"trellis_schema", "trellis_schema_seen"} <= set(names)
    rows = list(read_records(tmp_path / "x/trellis_schema.jsonl"))
    assert rows[2]["prompt"] == "user\ne  <|endoftext|>assistant\n" and rows[2]["answer"] == ""
    assert [json.loads(row["item"]) for row in rows] == [each for each in suites() if each["suite"] == "schema"][2:]
    again = tasks("x")
    assert again.returncode == 1 and "x is there already and is no empty folder" in again.stderr
    for job in plan.jobs:
        job.manifest.unlink()
    none = tasks("z")
    assert none.returncode == 1 and "no suite of demo has been built yet" in none.stderr
