"""The lock without the hub: which files a budget takes, pins of packages and local files, experiments that share a lock."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lock_studies import local_part, write_study

from trellis.choice import MARGIN, choose
from trellis.drift import check
from trellis.errors import TrellisError
from trellis.locking import lock
from trellis.patterns import matching
from trellis.pinning import local_paths, pin_package
from trellis.plan import load_pins

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "config/locks/demo.json"

# ---------------------------------------------------------------- the choice

folders = st.sampled_from("abc")
sizes = st.dictionaries(
    st.builds(lambda folder, number: f"{folder}/{number:03d}.gz", folders, st.integers(0, 400)),
    st.integers(0, 1000),
    min_size=1,
    max_size=60,
)
budgets = st.integers(1, 40_000)
PATTERNS = ["a/*", "b/*", "c/*", "*/1*", "**/*"]


def patterns_of(files: dict[str, int]) -> list[str]:
    return [pattern for pattern in PATTERNS if any(matching_one(path, pattern) for path in files)]


def matching_one(path: str, pattern: str) -> bool:
    try:
        return bool(matching([path], [pattern]))
    except KeyError:
        return False


@given(sizes, budgets, st.integers(0, 2**32), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_the_listing(files, enough, seed, random):
    shuffled = list(files.items())
    random.shuffle(shuffled)
    chosen = choose("datasets/o/n", files, patterns_of(files), enough, seed)
    assert chosen == choose("datasets/o/n", dict(shuffled), patterns_of(files), enough, seed)


@given(sizes, budgets, budgets, st.integers(0, 9))
def test_more_tokens_keep_what_was_chosen(files, enough, more, seed):
    less, many = (choose("r", files, patterns_of(files), bytes, seed) for bytes in (enough, enough + more))
    assert set(less) <= set(many)


@given(sizes, budgets, st.integers(0, 9))
def test_the_choice_holds_what_is_asked_and_little_more(files, enough, seed):
    """One pattern: no file could be left out. All: each pattern is served, so that the lock has files for each."""
    chosen = choose("r", files, ["**/*"], enough, seed)
    held, wanted = sum(files[path] for path in chosen), enough * (1 + MARGIN)
    assert held >= wanted or chosen == sorted(files)
    assert len(chosen) == 1 or held - max(files[path] for path in chosen) < wanted
    several = choose("r", files, patterns_of(files), enough, seed)
    assert matching(several, patterns_of(files)) == several
    assert sum(files[path] for path in several) >= min(enough, sum(files.values()))


FILES = {f"data/train-{number:05d}.parquet": 1000 + number for number in range(200)}


def test_the_choice_is_spread_and_not_the_head_of_the_listing():
    chosen = choose("datasets/o/n", FILES, ["data/*.parquet"], 20_000, 42)
    numbers = [sorted(FILES).index(path) for path in chosen]
    assert 18 <= len(chosen) <= 23
    assert 60 < sum(numbers) / len(numbers) < 140 and max(numbers) > 150 and min(numbers) < 50
    assert chosen != choose("datasets/o/n", FILES, ["data/*.parquet"], 20_000, 43)
    assert chosen != choose("datasets/o/other", FILES, ["data/*.parquet"], 20_000, 42)
    # The order is part of what locks mean: written down, so that a change of it does not pass unseen.
    assert chosen[:3] == ["data/train-00004.parquet", "data/train-00005.parquet", "data/train-00006.parquet"]


def test_every_file_is_chosen_by_some_seeds_and_not_by_others():
    times = dict.fromkeys(FILES, 0)
    for seed in range(300):
        for path in choose("r", FILES, ["**/*"], 60_000, seed):
            times[path] += 1
    assert min(times.values()) > 50 and max(times.values()) < 150  # a third of 300, within five standard deviations


def test_patterns_share_the_budget_by_the_bytes_that_match_them():
    files = {f"large/{n}": 100 for n in range(90)} | {f"small/{n}": 10 for n in range(90)} | {"alone/0": 10**6}
    chosen = choose("r", files, ["large/*", "small/*"], 990, 0)
    assert [sum(path.startswith(name) for path in chosen) for name in ("large", "small")] == [10, 10]
    assert len([path for path in choose("r", files, ["alone/*", "large/*"], 100, 0) if path[0] == "a"]) == 1


def test_no_budget_takes_all_and_a_pattern_without_a_file_is_named():
    assert choose("r", FILES, ["data/train-0000*", "data/train-00001.parquet"], None, 0) == sorted(FILES)[:10]
    with pytest.raises(KeyError, match="train-x"):
        choose("r", FILES, ["data/*", "data/train-x*"], 10, 0)


# ---------------------------------------------------------------- local files


@pytest.fixture
def study(tmp_path):
    """study(sources, ...) -> the path of an experiment in a workflow folder whose wheels the demo's lock pins."""
    (tmp_path / "config/locks").mkdir(parents=True)
    shutil.copy(DEMO, tmp_path / "config/locks/demo.json")
    return lambda sources, **more: write_study(tmp_path, sources, **more)


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


def test_local_files_are_locked_and_checked(study, tmp_path, capsys):
    one, two = write(tmp_path / "data/one.txt", b"first"), write(tmp_path / "data/two.txt", b"second")
    path = study({"own": [local_part("data/*.txt")]})
    lock(tmp_path, path)
    assert lock_of(tmp_path)["local"] == {
        f"data/{name}.txt": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in (("one", b"first"), ("two", b"second"))
    }
    assert load_pins(tmp_path, path, experiment(path)).local_files(["data/*.txt"])
    assert "sources.own.parts.0: 2 local files, 0.0 kB" in capsys.readouterr().out
    assert check(tmp_path, path) == 0
    one.write_bytes(b"FIRST")
    two.unlink()
    write(tmp_path / "data/three.txt")
    before = (tmp_path / "config/locks/study.json").read_bytes()
    assert check(tmp_path, path) == 3
    said = capsys.readouterr().out
    for what in ("changed: data/one.txt", "gone: data/two.txt", "not in the lock: data/three.txt"):
        assert f"sources.own.parts.0: 1 local files {what}" in said
    assert (tmp_path / "config/locks/study.json").read_bytes() == before


def experiment(path: Path):
    from trellis.experiment.whole import load_experiment

    return load_experiment(path)


def test_a_pattern_without_a_local_file_is_one_sentence_and_writes_nothing(study, tmp_path):
    write(tmp_path / "data/one.txt")
    path = study({"own": [local_part("data/*.txt", "data/*.jsonl")]})
    with pytest.raises(TrellisError, match=r"^sources.own.parts.0: data/\*.jsonl matches no file of this machine$"):
        lock(tmp_path, path)
    assert not (tmp_path / "config/locks/study.json").exists()


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


def test_a_pinned_package_stays_pinned(study, index, tmp_path):
    """The newest wheel is for packages that no lock knows; the lock's own pin comes before another lock's."""
    wheel = make_wheel(index, "evals", "99.0")
    path, demo = study({"own": [wheel_source("evals")]}), json.loads(DEMO.read_text())["packages"]["evals"]
    lock(tmp_path, path)
    assert lock_of(tmp_path)["packages"]["evals"] == demo
    own = lock_of(tmp_path)
    own["packages"]["evals"]["version"] = "3.0.0"
    (tmp_path / "config/locks/study.json").write_text(json.dumps(own))
    lock(tmp_path, path)
    assert lock_of(tmp_path)["packages"]["evals"] == {**demo, "version": "3.0.0"}
    (tmp_path / "config/locks/study.json").unlink()
    edited = json.loads((tmp_path / "config/locks/demo.json").read_text())
    del edited["packages"]["evals"]
    (tmp_path / "config/locks/demo.json").write_text(json.dumps(edited))
    lock(tmp_path, path)
    assert lock_of(tmp_path)["packages"]["evals"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()


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


def test_the_demos_lock_pins_no_more_and_no_less_than_the_experiments_that_name_it(tmp_path):
    """Locking again changes nothing, whichever of the experiments that share the lock is named."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    before = (tmp_path / "config/locks/demo.json").read_bytes()
    for name in ("smoke", "demo"):
        lock(tmp_path, tmp_path / f"config/experiments/{name}.yaml")
        assert (tmp_path / "config/locks/demo.json").read_bytes() == before


def test_experiments_that_share_a_lock_are_locked_together(study, tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.txt")
    first = study({"own": [local_part("a.txt")]})
    second = study({"own": [local_part("b.txt")]}, name="variant")
    study({"own": [local_part("c.txt")]}, name="other", lock="other")
    (tmp_path / "config/experiments/broken.yaml").write_text("lock: [study")
    lock(tmp_path, first)
    both = lock_of(tmp_path)
    assert sorted(both["local"]) == ["a.txt", "b.txt"]
    assert "variant: sources.own.parts.0: 1 local files" in capsys.readouterr().out
    lock(tmp_path, second)
    assert lock_of(tmp_path) == both
    (tmp_path / "b.txt").unlink()
    with pytest.raises(TrellisError, match="^variant: sources.own.parts.0: b.txt matches no file"):
        lock(tmp_path, first)


def test_the_command_says_what_it_did_in_words_and_in_its_exit_code(study, tmp_path):
    write(tmp_path / "a.txt")
    path = study({"own": [local_part("a.txt")]})
    (tmp_path / "config/config.yaml").write_text("experiment: study\nmachine: {gpu_model: any}\n")

    def trellis(*arguments):
        command = [sys.executable, "-m", "trellis", *arguments]
        environment = {"PYTHONPATH": str(ROOT / "workflow/scripts"), "PATH": "/usr/bin:/bin"}
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return answer.returncode, answer.stdout, answer.stderr

    code, _, said = trellis("lock", "--check")
    assert code == 1 and said.startswith("error: ") and "nothing to check" in said and said.count("\n") == 1
    assert trellis("why")[2].count("python -m trellis lock study") == 1
    code, said, _ = trellis("lock", "study")
    assert code == 0 and said.splitlines()[-1].startswith("written: config/locks/study.json")
    assert trellis("lock", "--check", str(path)) == (0, "config/locks/study.json: nothing has changed\n", "")
    (tmp_path / "a.txt").write_text("other")
    assert trellis("lock", "--check") == (1, "sources.own.parts.0: 1 local files changed: a.txt\n", "")
    text = (tmp_path / "config/locks/study.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
    assert set(json.loads(text)) == {"packages", "local"}  # nothing is said of an empty section
