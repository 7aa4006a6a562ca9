"""Publishing: the page its manifest speaks of, or one sentence and the old page untouched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "workflow" / "scripts"


@pytest.fixture
def publish(tmp_path):
    """publish(manifest) -> the finished process of the command line."""

    def call(manifest: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "trellis.report.publish", "--manifest", str(manifest)]
        command += ["--to", str(tmp_path / "published" / "report.html")]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(PACKAGE)})

    return call


def test_publishes_the_page_and_names_it(study, report, publish, tmp_path):
    made, html = report(study.build_all())
    process = publish(made.folder / "manifest.json")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"{tmp_path}/published/report.html  {made.fingerprint}\n"
    assert (tmp_path / "published" / "report.html").read_text(encoding="utf-8") == html
    assert os.listdir(tmp_path / "published") == ["report.html"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "report.html").write_text("<p>better numbers"), "was changed after it was made"),
        (lambda folder: (folder / "report.html").unlink(), "is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "has not finished"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is not a manifest"),
    ],
)
def test_refuses_what_is_not_the_result_and_leaves_the_old_page(study, report, publish, tmp_path, damage, words):
    made, _ = report(study.build_all())
    target = tmp_path / "published" / "report.html"
    target.parent.mkdir()
    target.write_text("old")
    damage(made.folder)
    process = publish(made.folder / "manifest.json")
    assert process.returncode == 1 and process.stdout == ""
    assert words in process.stderr and process.stderr.count("\n") == 1 and "Traceback" not in process.stderr
    assert target.read_text() == "old"
