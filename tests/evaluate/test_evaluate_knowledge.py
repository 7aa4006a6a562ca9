"""lm-eval's tasks on local files: the figures are those of lm-eval run by itself, and of likelihoods computed plainly."""

import json
import math
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from publishing import publish
from small_models import publish_model
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate.knowledge import split_of
from trellis.experiment.whole import load_experiment

lm_eval = pytest.importorskip("lm_eval", reason="the optional extra `knowledge` is not installed")
pytest.importorskip("lm_eval.tasks")

LEARNT = "user\nq<|endoftext|>assistant\nx"
LAMBADA = [{"text": f"{LEARNT} {word}"} for word in ("yes", "no", "yes", "never")]
SCIQ = [
    {
        "support": f" {name} is {'very ' * n}hot.",
        "question": f"what is {name}?",
        "correct_answer": "y" if n % 2 else "hot" + "!" * n,
        "distractor1": "cold" + "?" * (5 - n),
        "distractor2": "a" * (2 + n),
        "distractor3": name,
    }
    for n, name in enumerate(("sun", "fire", "lava", "a star", "steam", "iron"))
]
TASKS = {
    "sciq": {"repo": "allenai/sciq", "files": ["data/*.parquet"]},
    "lambada_openai": {"repo": "EleutherAI/lambada_openai", "files": ["default/*.parquet"]},
}


@pytest.fixture
def two_tasks(monkeypatch):
    """lm-eval's own files of the two tasks: its index of all its tasks takes seconds."""
    folders = [str(Path(lm_eval.__file__).parent / "tasks" / name) for name in ("sciq", "lambada")]
    manager = partial(lm_eval.tasks.TaskManager, include_path=folders, include_defaults=False)
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", manager)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp("knowing") / "model", context=256, lessons=[("q", "x yes")])


@pytest.fixture
def files(tmp_path):
    folders = []
    for repo, name, rows in (
        ("allenai/sciq", "data/train-00000-of-00001", SCIQ[:2]),
        ("allenai/sciq", "data/validation-00000-of-00001", SCIQ[:1]),
        ("allenai/sciq", "data/test-00000-of-00002", SCIQ[:3]),
        ("allenai/sciq", "data/test-00001-of-00002", SCIQ[3:]),
        ("EleutherAI/lambada_openai", "default/test/0000", LAMBADA),
    ):
        folder = tmp_path / repo.split("/")[1]
        path = folder / f"files/{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
        publish(folder, metrics={"repo": repo})
        folders += [] if folder in folders else [folder]
    return folders


@pytest.fixture
def run(make_spec, tmp_path, model, two_tasks):
    def command(files, tasks=TASKS, name="out", **settings):
        knowledge = {
            "tasks": {task: {"revision": "main", **each} for task, each in tasks.items()},
            "batch": 4,
            **settings,
        }
        config = {"model": "trellis", "seed": 1, "knowledge": knowledge}
        spec = make_spec("evaluate", "knowledge", name, config, {"model": [model], "files": files})
        return execute(spec, tmp_path / name)

    return command


def alone(net, tokenizer, context, continuation):
    """(log-likelihood of the continuation, whether it is what greedy decoding writes), by one forward pass."""
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (context, continuation))
    with torch.inference_mode():
        logits = net(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].double()
    return logits.log_softmax(-1)[range(len(after)), after].sum().item(), logits.argmax(-1).tolist() == after


def test_the_figures_are_those_of_likelihoods_computed_plainly(run, files, model):
    manifest = run(files)
    tokenizer = AutoTokenizer.from_pretrained(model / "model")
    net = AutoModelForCausalLM.from_pretrained(model / "model").eval()
    best, best_by_length = [], []
    for row in SCIQ:
        choices = [row[key] for key in ("distractor1", "distractor2", "distractor3", "correct_answer")]
        context = f"{row['support'].lstrip()}\nQuestion: {row['question']}\nAnswer:"
        likely = [alone(net, tokenizer, context, f" {choice}")[0] for choice in choices]
        best.append(likely.index(max(likely)) == 3)
        by_length = [value / len(choice) for value, choice in zip(likely, choices, strict=True)]
        best_by_length.append(by_length.index(max(by_length)) == 3)
    nats, greedy = zip(
        *(alone(net, tokenizer, LEARNT, each["text"].removeprefix(LEARNT)) for each in LAMBADA), strict=True
    )
    tasks = manifest.metrics["tasks"]
    assert {tuple(best), tuple(best_by_length)} - {(True,) * 6, (False,) * 6}, "a figure that any order would give"
    assert tasks["sciq"]["items"] == 6
    assert (tasks["sciq"]["acc"], tasks["sciq"]["acc_norm"]) == (sum(best) / 6, sum(best_by_length) / 6)
    assert greedy == (True, False, True, False), "what the model has learnt, and what it has not"
    expected = {"items": 4, "acc": 0.5, "acc_stderr": pytest.approx((0.25 / 3) ** 0.5)}
    assert tasks["lambada_openai"] == expected | {"acc_norm": None, "acc_norm_stderr": None}
    results = json.loads((manifest.folder / "results.json").read_text())
    perplexity = results["lambada_openai"]["figures"]["perplexity,none"]
    assert perplexity == pytest.approx(math.exp(-sum(nats) / 4), rel=1e-4)
    assert (manifest.metrics["model"], manifest.metrics["seed"]) == ("trellis", 1)


@pytest.mark.parametrize("settings", [{}, {"limit": 3}, {"shots": 1}])
def test_the_figures_are_those_of_lm_eval_run_by_itself(run, files, model, tmp_path, settings):
    ours = run(files, **settings).metrics["tasks"]
    folder, tasks = tmp_path / "tasks", Path(lm_eval.__file__).parent / "tasks"
    folder.mkdir()
    for name, path, repo in (("sciq", "sciq/sciq.yaml", 0), ("lambada_openai", "lambada/lambada_openai.yaml", 1)):
        found = sorted((files[repo] / "files").rglob("*.parquet"))
        splits = {
            split: [str(each) for each in found if split in str(each.relative_to(files[repo]))]
            for split in (("train", "validation", "test") if name == "sciq" else ("test",))
        }
        kwargs = json.dumps({"data_files": splits, "cache_dir": str(tmp_path / "cache")})
        text = f"include: {tasks / path}\ntask: own_{name}\ndataset_path: parquet\ndataset_name: null\n"
        (folder / f"own_{name}.yaml").write_text(f"{text}dataset_kwargs: {kwargs}\n")
    theirs = lm_eval.simple_evaluate(
        "hf",
        model_args={"pretrained": str(model / "model"), "dtype": "float32"},
        tasks=["own_sciq", "own_lambada_openai"],
        num_fewshot=settings.get("shots", 0),
        limit=settings.get("limit"),
        device="cpu",
        batch_size=4,
        bootstrap_iters=1000,
        task_manager=lm_eval.tasks.TaskManager(include_path=[str(folder)]),
    )
    for name, figures in ours.items():
        expected = theirs["results"][f"own_{name}"]
        assert figures["items"] == theirs["n-samples"][f"own_{name}"]["effective"]
        for metric in ("acc", "acc_stderr", "acc_norm", "acc_norm_stderr"):
            assert figures[metric] == expected.get(f"{metric},none")
        assert theirs["n-shot"][f"own_{name}"] == settings.get("shots", 0)


def test_the_same_order_makes_the_same_bytes(run, files):
    first, second = run(files, name="first"), run(files, name="second")
    assert first.files == second.files and first.metrics == second.metrics
    assert not (first.folder / "work").exists()


def test_expected_problems_are_one_sentence(run, files, monkeypatch):
    with pytest.raises(TrellisError, match=r"lm-eval [\d.]+ has no task 'sciqq'"):
        run(files[:1], {"sciqq": TASKS["sciq"]})
    with pytest.raises(TrellisError, match=r"tasks.sciq: no file of EleutherAI/lambada_openai names the split 'train'"):
        run(files[1:], {"sciq": TASKS["lambada_openai"]})
    (other,) = (files[1] / "files/default/test").iterdir()
    other.rename(other.with_suffix(".arrow"))
    publish(files[1], metrics={"repo": "x/y"})
    with pytest.raises(TrellisError, match="'test' in x/y are neither all Parquet nor all JSON: 0000.arrow"):
        run(files[1:], {"lambada_openai": TASKS["lambada_openai"]})
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(TrellisError, match=r"cannot be imported .*pip install 'lm-eval>=0.4.13,<0.5'"):
        run(files)


@pytest.mark.slow
def test_lm_eval_knows_the_tasks_of_the_study():
    study = load_experiment(Path(__file__).parents[2] / "config/experiments/trellis-506m.yaml")
    assert study.evaluation.knowledge.tasks.keys() <= set(lm_eval.tasks.TaskManager().all_subtasks)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/test-00000-of-00001.parquet", "test"),
        ("default/test/0000.parquet", "test"),
        ("test/validation-0.jsonl", "validation"),
        ("data/lambada_test_en.jsonl", "test"),
        ("dev.json", "validation"),
        ("latest/contest.parquet", None),
    ],
)
def test_the_split_is_told_from_the_path(name, split):
    assert split_of(name) == split
