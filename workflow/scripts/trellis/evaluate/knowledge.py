"""evaluate_knowledge: lm-eval's own tasks on the locked files, with nothing fetched and no answer taken from a cache.

A task's prompts, choices and metrics are lm-eval's; only its dataset is replaced by the fetched files. lm-eval's request cache
(`use_cache`) is never used: its key does not name the model, so that one model would be given another's answers.
"""

import json
import os
import re
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.errors import TrellisError
from trellis.experiment.evaluation import Knowledge
from trellis.manifest import WORK, Manifest
from trellis.spec import Spec

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

METRICS = ("acc", "acc_norm")
FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}
# The words by which hub repositories name the splits of their files; the last in a path counts.
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "dev": "validation", "test": "test"}
# Draws for the standard error of lambada's perplexity, the only figure here without a formula for it.
RESAMPLES = 1000


def run(spec: Spec, out: Path) -> Result:
    """Writes `results.json`: lm-eval's figures by task. Raises TrellisError when lm-eval is not installed, does not know a
    task, or finds no split of a task among its files."""
    settings = Knowledge.model_validate(spec.config["knowledge"])
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise TrellisError(
            f"evaluation.knowledge runs lm-eval, which cannot be imported ({error}); install it with "
            "`pip install 'lm-eval>=0.4.13,<0.5'`, or leave evaluation.knowledge out"
        ) from None
    manager = TaskManager()
    for name in settings.tasks:
        if name not in manager.all_subtasks:
            raise TrellisError(
                f"evaluation.knowledge.tasks: lm-eval {version('lm_eval')} has no task {name!r}; "
                "`lm_eval ls subtasks` lists those that it has"
            )
    given = spec.inputs_of("files")
    tasks = [
        local_task(manager, name, files, out / WORK / "datasets")
        for name, files in zip(settings.tasks, given, strict=True)
    ]
    device, folder = pick_device(spec.machine), spec.input("model").path("model/config.json").parent
    torch.set_num_threads(spec.threads)
    # float32 everywhere: bfloat16 would round away what two choices differ by.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).to(device).eval()
    lm = HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=settings.batch)
    # Or lm-eval starts a process per core to resample in.
    os.environ["DISABLE_MULTIPROC"] = "1"
    found = simple_evaluate(
        lm,
        tasks=tasks,
        task_manager=manager,
        num_fewshot=settings.shots,
        limit=settings.limit,
        bootstrap_iters=RESAMPLES,
        log_samples=False,
    )
    results = {
        name: {
            "figures": {key: value for key, value in found["results"][name].items() if isinstance(value, int | float)},
            "items": found["n-samples"][name]["effective"],
            "shots": found["n-shot"][name],
            "version": found["versions"][name],
        }
        for name in settings.tasks
    }
    text = json.dumps(results, indent=1, sort_keys=True, default=float) + "\n"
    (out / "results.json").write_text(text, encoding="utf-8")
    metrics = {
        "model": spec.config["model"],
        "seed": spec.config["seed"],
        "tasks": {name: figures(result) for name, result in results.items()},
    }
    return Result(metrics, run={"lm_eval": version("lm_eval"), **hardware(device)})


def figures(result: dict[str, Any]) -> dict[str, float | int | None]:
    """A task's entry of the manifest: what the task does not measure is null."""
    found: dict[str, float | int | None] = {"items": result["items"]}
    for metric in METRICS:
        for name in (metric, f"{metric}_stderr"):
            value = result["figures"].get(f"{name},none")
            found[name] = None if value is None else float(value)
    return found


def local_task(manager: "TaskManager", name: str, files: Manifest, cache: Path) -> Any:
    """lm-eval's task of this name over these files. Raises TrellisError when it is not answered by log-likelihoods."""
    read = partial(LocalSplits, name, files, cache)
    # In a group, because only there does lm-eval take changes to a task that it knows by name.
    changed = {"task": name, "dataset_path": None, "dataset_kwargs": None, "custom_dataset": lambda **_: read()}
    task = manager.load({"group": "trellis", "task": [changed]})["tasks"][name]
    if task.OUTPUT_TYPE not in ("loglikelihood", "multiple_choice"):
        raise TrellisError(
            f"evaluation.knowledge.tasks.{name}: this task of lm-eval is answered by {task.OUTPUT_TYPE}; choose tasks that "
            "are answered by log-likelihoods of choices or of the last word"
        )
    return task


class LocalSplits(dict[str, datasets.Dataset]):
    """A task's dataset by split, each read when it is asked for. Raises TrellisError for a split that no file names, and for
    files that are neither Parquet nor JSON."""

    def __init__(self, task: str, files: Manifest, cache: Path) -> None:
        super().__init__()
        self.task, self.files, self.cache = task, files, cache

    def __missing__(self, split: str) -> datasets.Dataset:
        every = self.files.paths("files/")
        repo, names = self.files.metrics["repo"], [str(path.relative_to(self.files.folder / "files")) for path in every]
        chosen = [path for path, name in zip(every, names, strict=True) if split_of(name) == split]
        if not chosen:
            raise TrellisError(
                f"evaluation.knowledge.tasks.{self.task}: no file of {repo} names the split {split!r}, which lm-eval's task "
                f"reads: {', '.join(names)}; add the split's files to `files`"
            )
        formats = {FORMATS.get(path.suffix) for path in chosen}
        if len(formats) > 1 or None in formats:
            raise TrellisError(
                f"evaluation.knowledge.tasks.{self.task}: the files of the split {split!r} in {repo} are neither all Parquet "
                f"nor all JSON: {', '.join(path.name for path in chosen)}; name those of one format in `files`"
            )
        self[split] = datasets.load_dataset(
            formats.pop(), data_files=[str(path) for path in chosen], split="train", cache_dir=str(self.cache)
        )
        return self[split]


def split_of(name: str) -> str | None:
    """The split that a file's path names, as in `data/test-00000-of-00001.parquet` or `default/test/0000.parquet`."""
    words = [word for word in re.split(r"[-._/ ]", name) if word in SPLITS]
    return SPLITS[words[-1]] if words else None
