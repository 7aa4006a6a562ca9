"""Models and tokenizers of this machine: pinned like any other data, and asked for by the jobs that read them."""

import json

import pytest

from lock_studies import SMOKE, local_part, pin
from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.experiment.reading import read_yaml
from trellis.experiment.whole import load_experiment
from trellis.locking.lock import lock
from trellis.overview import describe
from trellis.plan import load_pins

READ = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"one",
    "model-00002-of-00002.safetensors": b"two",
    "model.safetensors.index.json": b'{"weight_map": {}}',
    "tokenizer.json": b"[]",
}
UNREAD = {"pytorch_model.bin": b"\x80", "README.md": b"# A model", "deeper/model.safetensors": b"other"}


@pytest.fixture
def released(study, workflow):
    """released(folder, ...) -> an experiment with a document, a tokenizer file, and a model in this folder."""

    def make(folder="models/mine", files=None, tokenizer="words/tokenizer.json"):
        for name, data in (READ | UNREAD if files is None else files).items():
            (workflow / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (workflow / folder / name).write_bytes(data)
        for name, data in {"data/one.txt": b"text", "words/tokenizer.json": b"{}"}.items():
            (workflow / name).parent.mkdir(exist_ok=True)
            (workflow / name).write_bytes(data)
        trained = {name: {**model, "mixture": "all"} for name, model in read_yaml(SMOKE)["models"].items()}
        mine = {"kind": "pretrained_folder", "folder": folder, "parameters": 70, "training_tokens": 1_400}
        return study(
            local_part("data/one.txt"),
            models={**trained, "mine": mine},
            tokenizer={"kind": "file", "path": tokenizer, "vocab_size": 512},
        )

    return make


@pytest.mark.parametrize("folder", ["models/mine", "models/mine/", "./models/mine", "{root}/elsewhere", "../mine [v1]"])
def test_a_folder_and_a_tokenizer_are_pinned_and_reach_their_jobs(released, workflow, locked, checked, folder):
    folder = folder.format(root=workflow)
    path = released(folder)
    pinned = {f"{folder.rstrip('/')}/{name}": pin(data) for name, data in READ.items()}
    words = {"words/tokenizer.json": pin(b"{}")}
    assert locked(path)["local"] == {"data/one.txt": pin(b"text"), **words, **pinned}
    assert checked(path) == (0, f"{workflow}/config/locks/study.json: nothing has changed\n")
    experiment = load_experiment(path)
    jobs = {(job.command, job.name): job for job in build_jobs(experiment, load_pins(workflow, path, experiment))}
    taken, tokenizer = jobs["pretrained", "mine"], jobs["tokenizer", "tokenizer"]
    assert taken.components["config"]["local"] == pinned and tokenizer.components["config"]["local"] == words
    assert taken.inputs == {"tokenizer": [tokenizer]} and not tokenizer.inputs
    assert f"  mine: {folder}, 70 parameters, 1,400 tokens" in describe("study", experiment)


def test_another_weight_or_tokenizer_is_another_address_and_is_noticed(released, workflow, locked, checked):
    def addresses(path):
        locked(path)
        experiment = load_experiment(path)
        jobs = build_jobs(experiment, load_pins(workflow, path, experiment))
        return {(job.command, job.name): job.fingerprint for job in jobs}

    path = released()
    before = addresses(path)
    (workflow / "models/mine/model-00002-of-00002.safetensors").write_bytes(b"TWO")
    assert checked(path) == (
        1,
        "models.mine.folder: 1 local files changed: models/mine/model-00002-of-00002.safetensors\n",
    )
    after = addresses(path)
    assert after["pretrained", "mine"] != before["pretrained", "mine"]
    assert after["tokenizer", "tokenizer"] == before["tokenizer", "tokenizer"]
    (workflow / "words/tokenizer.json").unlink()
    assert checked(path) == (1, "tokenizer.path: 1 local files gone: words/tokenizer.json\n")
    (workflow / "words/tokenizer.json").write_bytes(b"{ }")
    assert checked(path) == (1, "tokenizer.path: 1 local files changed: words/tokenizer.json\n")
    assert addresses(path)["tokenizer", "tokenizer"] != after["tokenizer", "tokenizer"]


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, "config.json"),
        ({"config.json": b"{}", "tokenizer.json": b"{}", "pytorch_model.bin": b"\x80"}, r"\*.safetensors\*"),
        ({"config.json": b"{}", "model.safetensors": b"one"}, "tokenizer.json"),
    ],
)
def test_a_folder_that_is_missing_or_lacks_something_is_one_sentence(released, refused, files, missing):
    refused(released(files=files), rf"^models.mine.folder: models/mine/{missing} matches no file of this machine$")


def test_a_tokenizer_that_is_missing_is_one_sentence(released, refused):
    refused(released(tokenizer="words/none.json"), "^tokenizer.path: words/none.json matches no file of this machine$")


@pytest.mark.parametrize("folder", ["", "models/*"])
def test_a_folder_is_one_folder(released, folder):
    with pytest.raises(TrellisError, match="models.mine.*folder") as caught:
        load_experiment(released(folder, files={}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gone", "key"), [("models/mine/config.json", "models.mine.folder"), ("words/tokenizer.json", "tokenizer.path")]
)
def test_a_lock_that_does_not_pin_them_is_refused(released, workflow, gone, key):
    path = released()
    lock(workflow, path)
    file = workflow / "config/locks/study.json"
    content = json.loads(file.read_text())
    del content["local"][gone]
    file.write_text(json.dumps(content))
    with pytest.raises(TrellisError, match=f"{key}: the lock does not pin {gone}; run `python -m trellis lock study`"):
        load_pins(workflow, path, load_experiment(path))
