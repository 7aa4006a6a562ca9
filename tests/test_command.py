"""How a stage ends: one sentence and exit code 1 when it cannot, a log with the rest, a manifest only when it could."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "workflow/scripts"


@pytest.fixture
def order(tmp_path, make_spec):
    """Writes the spec of a stage and runs it as a process; gives (process, manifest path, log text)."""

    def run(stage, command, config, terminal=None):
        spec = make_spec(stage, command, config=config)
        (tmp_path / "spec.json").write_text(spec.model_dump_json())
        words = [sys.executable, "-m", f"trellis.{stage}", "--spec", str(tmp_path / "spec.json")]
        words += ["--out", str(tmp_path / "out"), "--log", str(tmp_path / "log.txt")]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        answer = subprocess.run(words, env=environment, stderr=terminal or subprocess.PIPE, text=True)
        return answer, tmp_path / "out/manifest.json", (tmp_path / "log.txt").read_text()

    return run


def test_an_expected_problem_is_one_sentence_that_names_the_log(order, tmp_path):
    answer, manifest, log = order(
        "tokenize",
        "tokenizer",
        {
            "tokenizer": {"kind": "train", "vocab_size": 300, "sample_bytes": 9},
            "seed": 1,
            "validation_share": 0.1,
            "validation_seed": 1,
        },
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: tokenize_tokenizer test: the documents give only 257 of the 300 tokens")
    assert answer.stderr.endswith(f"; log: {tmp_path}/log.txt\n") and answer.stderr.count("\n") == 1
    assert "the documents give only" in log and not manifest.exists()


def test_an_unexpected_problem_keeps_its_traceback_for_the_log(order):
    answer, manifest, log = order("tokenize", "tokenizer", {})
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: tokenize_tokenizer test: unexpected KeyError: 'tokenizer' (tokenizer.py:")
    assert "Traceback" not in answer.stderr and "Traceback" in log and not manifest.exists()


FAILING = """
import errno
from trellis.command import main
from trellis.tokenize import tokenizer

def run(spec, out):
    {action}

tokenizer.run = run
main("tokenize")
"""
# Linux's device on which there never is room; it is only ever opened, for what removes it would remove it for all.
NO_ROOM = "open('/dev/full', 'wb', 0).write(b'x')"


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (NO_ROOM, "the disk is full at {out}; make room and run again"),
        (
            "raise OSError(errno.EDQUOT, 'Disk quota exceeded', '/home/a.bin')",
            "the disk is full at /home/a.bin; make room and run again",
        ),
        (
            "raise OSError(errno.EACCES, 'Permission denied', '/home/a.bin')",
            "unexpected PermissionError: [Errno 13] Permission denied: '/home/a.bin' (<string>:7)",
        ),
    ],
    ids=["full", "quota", "another error"],
)
@pytest.mark.parametrize("log", ["log.txt", "/dev/full"])
def test_a_full_disk_is_one_sentence_even_where_the_log_is_on_it(tmp_path, make_spec, action, sentence, log):
    (tmp_path / "spec.json").write_text(make_spec("tokenize", "tokenizer", config={}).model_dump_json())
    words = ["--spec", str(tmp_path / "spec.json"), "--out", str(tmp_path / "out"), "--log", str(tmp_path / log)]
    answer = subprocess.run(
        [sys.executable, "-c", FAILING.format(action=action), *words],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
    )
    sentence = sentence.format(out=tmp_path / "out")
    assert answer.returncode == 1
    assert answer.stderr == f"error: tokenize_tokenizer test: {sentence}; log: {tmp_path / log}\n"
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_missing_spec_says_what_writes_it(tmp_path):
    words = [
        sys.executable,
        "-m",
        "trellis.report",
        "--spec",
        str(tmp_path / "none.json"),
        "--out",
        str(tmp_path),
        "--log",
        str(tmp_path / "log"),
    ]
    answer = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True)
    assert answer.returncode == 1 and "is missing: `python -m trellis specs` writes it" in answer.stderr


PROGRESS = """
import logging, sys, time
from trellis import progress
logging.basicConfig(level=logging.INFO, filename=sys.argv[1], format="%(message)s")
progress.SECONDS_BETWEEN_LINES = 0.2
with progress.bar("counting", 40, "steps") as bar:
    for _ in range(40):
        time.sleep(0.06)
        bar.advance(note="loss 1.5")
"""


def watched(tmp_path, count):
    """Runs `count` processes with progress on one pseudo-terminal; what it showed, and their logs."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "TERM": "xterm", "COLUMNS": "120"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRESS, str(tmp_path / f"log{index}")], stderr=theirs, env=environment
        )
        for index in range(count)
    ]
    os.set_blocking(ours, False)
    shown = b""
    while any(process.poll() is None for process in processes):
        try:
            shown += os.read(ours, 65536)
        except BlockingIOError:
            continue
    assert all(process.returncode == 0 for process in processes)
    return shown.decode(errors="replace"), [(tmp_path / f"log{index}").read_text() for index in range(count)]


def test_progress_is_a_bar_on_a_terminal_and_lines_in_the_log(tmp_path):
    shown, (log,) = watched(tmp_path, 1)
    assert "counting" in shown and "/s" in shown and "loss 1.5" in shown and "0:00:" in shown
    lines = log.splitlines()
    assert len(lines) >= 3 and all("counting: " in line and " steps/s" in line for line in lines)
    assert "s left" in lines[0] and lines[-1].startswith("counting: 40 of 40 steps")
    assert "\x1b" not in log


def test_two_processes_do_not_draw_over_each_other(tmp_path):
    alone, _ = watched(tmp_path, 1)
    together, logs = watched(tmp_path, 2)
    assert together.count("counting") < 1.6 * alone.count("counting")
    assert all(log.splitlines()[-1].startswith("counting: 40 of 40 steps") for log in logs)


def test_show_answers_without_a_lock_or_data():
    answer = subprocess.run(
        [sys.executable, "-m", "trellis", "show", "trellis-506m"],
        cwd=PACKAGE.parents[1],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0
    assert "trellis-506m: llama, 506,328,320 parameters, mixture curated" in answer.stdout
    assert "20,000,000,000 tokens in 152,588 steps of 131,072 tokens" in answer.stdout
    assert "  fineweb_edu_curated: 4,300,000,000 tokens (21.5 %)" in answer.stdout
    assert "  pretraining.seed: 0" in answer.stdout
