"""Fingerprints: what must change them does, what must not does not, on every Python."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis import address
from trellis.address import canonical_json, code_digest, fingerprint
from trellis.errors import TrellisError

BASE = '''"""A module."""
import os
from trellis.lower import helper

DATA_FILES = ("rules.txt",)


def run(x, *, y=1):
    """Doc."""
    # A comment.
    return helper(x) + f"{y:>3}"
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package of its own, with an entry module, two modules below it and a data file."""
    folder = tmp_path / "trellis"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Top."""\n')
    (folder / "entry.py").write_text(BASE)
    (folder / "lower.py").write_text("def helper(x):\n    from trellis import lowest\n\n    return lowest.VALUE * x\n")
    (folder / "lowest.py").write_text("VALUE = 1\n")
    (folder / "apart.py").write_text("VALUE = 2\n")
    (folder / "rules.txt").write_text("one\n")
    monkeypatch.setattr(address, "PACKAGE", folder)
    return folder


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_all_that_is_imported_counts_and_nothing_else(package):
    names = {"trellis", "trellis.entry", "trellis.entry:rules.txt", "trellis.lower", "trellis.lowest"}
    assert code_digest("trellis.entry").keys() == names


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("entry.py", "# A comment.", "# Another one, longer."),
        ("entry.py", '"""Doc."""', '"""Says something else."""'),
        ("entry.py", '"""Doc."""\n    # A comment.\n', "# No docstring at all.\n"),
        ("entry.py", '"""A module."""', '"""A better module."""'),
        ("entry.py", "return helper(x) + ", "return (\n        helper(x)\n    ) + "),
        ("entry.py", "import os", "import os  "),
        ("apart.py", "2", "3"),
    ],
)
def test_harmless_edits_change_nothing(package, file, old, new):
    before = code_digest("trellis.entry")
    edited(package / file, old, new)
    assert code_digest("trellis.entry") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("entry.py", "y=1", "y=True"),
        ("entry.py", "y=1", "y=1.0"),
        ("entry.py", ">3", ">4"),
        ("entry.py", "run(x, *, y=1)", "run(x, y=1)"),
        ("lower.py", "* x", "+ x"),
        ("lowest.py", "1", "None"),
        ("rules.txt", "one", "two"),
    ],
)
def test_real_edits_change_the_digest(package, file, old, new):
    before = code_digest("trellis.entry")
    edited(package / file, old, new)
    assert code_digest("trellis.entry") != before


def test_a_copy_elsewhere_has_the_same_digest(package, tmp_path, monkeypatch):
    before = code_digest("trellis.entry")
    shutil.copytree(package, tmp_path / "clone" / "trellis")
    monkeypatch.setattr(address, "PACKAGE", tmp_path / "clone" / "trellis")
    assert code_digest("trellis.entry") == before


def test_a_missing_data_file_and_unreadable_code_are_named(package):
    (package / "rules.txt").unlink()
    with pytest.raises(TrellisError, match="DATA_FILES names rules.txt"):
        code_digest("trellis.entry")
    (package / "rules.txt").touch()
    (package / "lower.py").write_text("def (\n")
    with pytest.raises(TrellisError, match="lower.py:1"):
        code_digest("trellis.entry")


def test_fingerprints_are_the_same_in_every_process():
    code = "from trellis.address import code_digest, digest; print(digest(code_digest('trellis.pretrain.train')))"
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
        for environment in (
            {"PYTHONPATH": str(Path(address.__file__).parent.parent), "PYTHONHASHSEED": seed}
            for seed in ("0", "1", "2")
        )
    }
    assert len(seen) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_count(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_swapped_values_and_types_are_seen():
    def of(config, inputs=()):
        return fingerprint(stage="s", command="c", config=config, code={}, inputs={"in": list(inputs)})

    assert of({"a": 1, "b": 2}) != of({"a": 2, "b": 1})
    assert of({"a": 1}) != of({"a": 1.0}) != of({"a": True}) != of({"a": "1"})
    assert of({}, ["x", "y"]) != of({}, ["y", "x"])
