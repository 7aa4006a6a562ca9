"""The lock without the hub: local files, packages, experiments that share a lock, and the command."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from lock_studies import local_part
from trellis.errors import TrellisError
from trellis.experiment.whole import load_experiment
from trellis.locking.drift import check
from trellis.locking.lock import lock
from trellis.locking.pinning import local_paths, pin_package
from trellis.plan import load_pins

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "config/locks/demo.json"

# ---------------------------------------------------------------- local files


def write(path: Path, content: bytes = b"text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def lock_of(root: Path) -> dict:
    return json.loads((root / "config/locks/study.json").read_text())


def test_local_files_are_found_as_the_patterns_write_them(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for name in ("data/b.txt", "data/a.txt", "data/deep/er/c.txt", "data/d.md", "top.txt"):
        write(tmp_path / "root" / name)
    write(elsewhere / "x.txt")
    (tmp_path / "root/data/link").symlink_to(elsewhere)
    (tmp_path / "root/data/gone.txt").symlink_to(tmp_path / "nothing")
    root = tmp_path / "root"
    for patterns, found in [
        (["data/*.txt"], ["data/a.txt", "data/b.txt"]),
        (["data/**/*.txt"], ["data/a.txt", "data/b.txt", "data/deep/er/c.txt"]),
        (["*.txt", "data/d.md"], ["data/d.md", "top.txt"]),
        (["data/*/er/*"], ["data/deep/er/c.txt"]),
        (["data/d*"], ["data/d.md"]),
        ([f"{elsewhere}/*.txt"], [f"{elsewhere}/x.txt"]),
        (["../elsewhere/*"], ["../elsewhere/x.txt"]),
        (["data/link/*"], ["data/link/x.txt"]),  # named, not met on the way
        (["data", "none/*", "data/e.txt"], []),
    ]:
        assert local_paths(root, patterns) == found, patterns


def test_local_files_are_locked_and_checked(study, workflow, capsys):
    one, two = write(workflow / "data/one.txt", b"first"), write(workflow / "data/two.txt", b"second")
    path = study(local_part("data/*.txt"))
    lock(workflow, path)
    assert lock_of(workflow)["local"] == {
        f"data/{name}.txt": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in (("one", b"first"), ("two", b"second"))
    }
    assert load_pins(workflow, path, load_experiment(path)).local_files(["data/*.txt"])
    assert "sources.own.parts.0: 2 local files, 0.0 kB" in capsys.readouterr().out
    assert check(workflow, path) == 0
    one.write_bytes(b"FIRST")
    two.unlink()
    write(workflow / "data/three.txt")
    before = (workflow / "config/locks/study.json").read_bytes()
    assert check(workflow, path) == 3
    said = capsys.readouterr().out
    for what in ("changed: data/one.txt", "gone: data/two.txt", "not in the lock: data/three.txt"):
        assert f"sources.own.parts.0: 1 local files {what}" in said
    assert (workflow / "config/locks/study.json").read_bytes() == before


def test_a_pattern_without_a_local_file_is_one_sentence_and_writes_nothing(study, workflow):
    write(workflow / "data/one.txt")
    path = study(local_part("data/*.txt", "data/*.jsonl"))
    with pytest.raises(TrellisError, match=r"^sources.own.parts.0: data/\*.jsonl matches no file of this machine$"):
        lock(workflow, path)
    assert not (workflow / "config/locks/study.json").exists()


# ---------------------------------------------------------------- packages


def wheel_source(package: str) -> dict:
    return {"kind": "wheel", "package": package, "reader": "abstracts", "members": ["a.jsonl"]}


def make_wheel(folder: Path, name: str, version: str, *about: str) -> Path:
    """A wheel that pip accepts, with `about` in its METADATA."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *about]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", "\n".join(lines) + "\n\nA long text: License: none\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels instead of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


@pytest.mark.parametrize(
    ("about", "licence"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: other"], "MIT OR Apache-2.0"),
        (["License: BSD-3-Clause", "Classifier: License :: OSI Approved :: MIT License"], "BSD-3-Clause"),
        (["License: Apache License\n        Version 2.0\n        of 2004"], "Apache License"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (["Classifier: Topic :: Text", "Classifier: License :: Public Domain"], "Public Domain"),
        ([], "unknown"),
    ],
)
def test_a_new_package_is_pinned_as_pip_finds_it(index, tmp_path, about, licence):
    make_wheel(index, "texts", "0.9", "License: old")
    wheel = make_wheel(index, "texts", "1.10", *about)
    pin = pin_package("texts", tmp_path / "config/locks/study.json")
    assert pin.model_dump() == {
        "version": "1.10",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "bytes": wheel.stat().st_size,
        "licence": licence,
    }


def test_a_pinned_package_stays_pinned(study, index, workflow):
    """The newest wheel is for packages that no lock knows; the lock's own pin comes before another lock's."""
    wheel = make_wheel(index, "evals", "99.0")
    path, demo = study(wheel_source("evals")), json.loads(DEMO.read_text())["packages"]["evals"]
    lock(workflow, path)
    assert lock_of(workflow)["packages"]["evals"] == demo
    own = lock_of(workflow)
    own["packages"]["evals"]["version"] = "3.0.0"
    (workflow / "config/locks/study.json").write_text(json.dumps(own))
    lock(workflow, path)
    assert lock_of(workflow)["packages"]["evals"] == {**demo, "version": "3.0.0"}
    (workflow / "config/locks/study.json").unlink()
    edited = json.loads((workflow / "config/locks/demo.json").read_text())
    del edited["packages"]["evals"]
    (workflow / "config/locks/demo.json").write_text(json.dumps(edited))
    lock(workflow, path)
    assert lock_of(workflow)["packages"]["evals"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_package_that_cannot_be_had_is_one_sentence(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(TrellisError, match="^texts: pip says `.*texts.*`; check the name") as caught:
        pin_package("texts", tmp_path / "study.json")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    broken = make_wheel(index, "texts", "1.0")
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("texts/data.txt", "")
    with pytest.raises(TrellisError, match="^texts: "):
        pin_package("texts", tmp_path / "study.json")


# ---------------------------------------------------------------- the file


def test_the_demos_lock_comes_out_as_it_is_whichever_experiment_is_named(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    file, made = tmp_path / "config/locks/demo.json", set()
    before = json.loads(file.read_text())["packages"]
    for name in ("smoke", "demo", "miniature"):
        path = tmp_path / f"config/experiments/{name}.yaml"
        lock(tmp_path, path)
        made.add(file.read_text())
        load_pins(tmp_path, path, load_experiment(path))
    (text,) = made
    assert json.loads(text)["packages"].items() <= before.items()


def test_experiments_that_share_a_lock_are_locked_together(study, workflow, capsys):
    for name in ("a", "b"):
        write(workflow / f"{name}.txt")
    first = study(local_part("a.txt"))
    second = study(local_part("b.txt"), name="variant")
    study(local_part("c.txt"), name="other", lock="other")
    (workflow / "config/experiments/broken.yaml").write_text("lock: [study")
    lock(workflow, first)
    both = lock_of(workflow)
    assert sorted(both["local"]) == ["a.txt", "b.txt"]
    assert "variant: sources.own.parts.0: 1 local files" in capsys.readouterr().out
    lock(workflow, second)
    assert lock_of(workflow) == both
    (workflow / "b.txt").unlink()
    with pytest.raises(TrellisError, match="^variant: sources.own.parts.0: b.txt matches no file"):
        lock(workflow, first)


def test_the_command_says_what_it_did_in_words_and_in_its_exit_code(study, workflow, trellis_lock):
    write(workflow / "a.txt")
    path = study(local_part("a.txt"))
    (workflow / "config/config.yaml").write_text("experiment: study\nmachine: {gpu_model: any}\n")
    code, _, said = trellis_lock("--check")
    assert code == 1 and said.startswith("error: ") and "nothing to check" in said and said.count("\n") == 1
    code, said, _ = trellis_lock("study")
    assert code == 0 and said.splitlines()[-1].startswith("written: config/locks/study.json")
    assert trellis_lock("--check", str(path)) == (0, "config/locks/study.json: nothing has changed\n", "")
    (workflow / "a.txt").write_text("other")
    assert trellis_lock("--check") == (1, "sources.own.parts.0: 1 local files changed: a.txt\n", "")
    text = (workflow / "config/locks/study.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert set(json.loads(text)) == {"packages", "local"}  # nothing is said of an empty section
