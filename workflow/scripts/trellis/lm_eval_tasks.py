"""The own suites as tasks of lm-eval, for people who want to ask them of other models.

A folder holds, for each suite and split, `trellis_SUITE.yaml` (the unseen items) or `trellis_SUITE_SPLIT.yaml`, and its items;
`metrics.py` judges with the scorers of this package.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from transformers.utils.chat_template_utils import render_jinja_template

from trellis.chat import MARKS, template
from trellis.errors import TrellisError
from trellis.manifest import Manifest
from trellis.plan import Plan
from trellis.records import read_records, write_records

# Those of `evaluate` that an answer's text alone decides; a suite has no value of some.
METRICS = (
    *("parse", "parse_lenient", "schema_valid", "exact", "leaf_f1", "key_f1", "type_accuracy"),
    *("name_accuracy", "ast", "called", "execution"),
)

CODE = '''\
"""What lm-eval calls: the items of a task, and the scores of an answer, by Trellis's own scorers."""

import importlib
import json
from pathlib import Path

import datasets


def load(file, **_):
    rows = [json.loads(line) for line in Path(__file__).with_name(file).open(encoding="utf-8")]
    return {"test": datasets.Dataset.from_list(rows)}


def process_results(doc, results):
    item = json.loads(doc["item"])
    scorer = importlib.import_module(f"trellis.evaluate.scorers.{item['kind']}")
    # A metric that an item does not have is left out: its mean is over the items that have it.
    return {name: value for name, value in scorer.score(item, results[0]).items() if value is not None}
'''

README = """\
# Suites of Trellis as tasks of lm-eval

    pip install 'lm-eval[hf]>=0.4.13,<0.5'
    pip install PATH_OF_THE_TRELLIS_REPOSITORY   # the scorers
    lm_eval --model hf --model_args pretrained=MODEL --include_path THIS_FOLDER --tasks {first}

Tasks: {tasks}.

Each prompt is fixed text: the turns of the item in Trellis's chat template `{template}`, which is what Trellis itself gives a
fine-tuned model. A model that was trained on it reads it as it is; do not add `--apply_chat_template`, which would put one
template inside another. Decoding is greedy, free, and ends at {end}. The standard errors that lm-eval prints take items to be
independent; items of one schema are not (`cluster` in each item).
"""


def export(plan: Plan, to: Path) -> list[str]:
    """Writes the tasks of all suites of the plan whose items exist into the folder `to`; returns the tasks' names. Raises
    TrellisError when there are none, or `to` holds something else."""
    made = [Manifest.read(job.folder) for job in plan.of_rule("evaluate_items") if job.manifest.exists()]
    if not made:
        raise TrellisError(
            f"no suite of {plan.name} has been built yet; `snakemake --until evaluate_items` builds them"
        )
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise TrellisError(f"{to} is there already and is no empty folder; name another folder")
    to.mkdir(parents=True, exist_ok=True)
    style, tasks = plan.experiment.sft.template, []
    for manifest in made:
        items = list(read_records(manifest.path("items.jsonl")))
        for split in sorted({item["split"] for item in items}):
            suite = items[0]["suite"]
            name = f"trellis_{suite}" if split == "unseen" else f"trellis_{suite}_{split}"
            chosen = [item for item in items if item["split"] == split]
            write_records(to / f"{name}.jsonl", rows(chosen, style))
            settings = task(name, style, plan.experiment.evaluation.generation.max_new_tokens, manifest)
            (to / f"{name}.yaml").write_text(_yaml(settings), encoding="utf-8")
            tasks.append(name)
    (to / "metrics.py").write_text(CODE, encoding="utf-8")
    readme = README.format(first=tasks[0], tasks=", ".join(tasks), template=style, end=MARKS[style][1])
    (to / "README.md").write_text(readme, encoding="utf-8")
    return tasks


def rows(items: list[dict[str, Any]], style: str) -> list[dict[str, str]]:
    """A row per item: prompt, answer (empty without gold), and the item as JSON text, so that its free form is no column's."""
    prompts, _ = render_jinja_template(
        [item["messages"] for item in items], chat_template=template(style), add_generation_prompt=True
    )
    return [
        {"prompt": prompt, "answer": item["answer"] or "", "item": json.dumps(item)}
        for prompt, item in zip(prompts, items, strict=True)
    ]


def task(name: str, style: str, max_new_tokens: int, items: Manifest) -> dict[str, Any]:
    """The settings of a task, but for its functions."""
    return {
        "task": name,
        "dataset_kwargs": {"file": f"{name}.jsonl"},
        "test_split": "test",
        "output_type": "generate_until",
        # By the columns' own values: a prompt may hold what looks like a template.
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "generation_kwargs": {"until": [MARKS[style][1]], "do_sample": False, "max_gen_toks": max_new_tokens},
        "num_fewshot": 0,
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in METRICS],
        "metadata": {"version": 1.0, "sha256": items.metrics["sha256"]},
    }


def _yaml(settings: dict[str, Any]) -> str:
    functions = "custom_dataset: !function metrics.load\nprocess_results: !function metrics.process_results\n"
    return yaml.safe_dump(settings, sort_keys=False) + functions
