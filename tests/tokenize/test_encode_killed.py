"""Real processes of the encode command, killed: nothing finished is done again, nothing is different, nothing is left."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trellis.manifest import Manifest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds processes in /proc")
PACKAGE = Path(__file__).parents[2] / "workflow/scripts"
# Many, so that a test that is slow to look still finds some unfinished.
TABLES = 24


@pytest.fixture
def start(encode_spec, documents, prose, tmp_path):
    """start(folder) -> the running process that encodes the tables, a block each, into it."""
    texts = [[prose(table * 1000 + seed, 600) for seed in range(100)] for table in range(TABLES)]
    (tmp_path / "spec.json").write_text(encode_spec([documents("web", texts)]).model_dump_json())
    words = [sys.executable, "-m", "trellis.tokenize", "--spec", str(tmp_path / "spec.json"), "--threads", "2"]
    words += ["--log", str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return lambda folder: subprocess.Popen(
        [*words, "--out", str(tmp_path / folder)],
        env=environment,
        stderr=(tmp_path / "stderr").open("w"),
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def blocks(folder: Path) -> dict[str, tuple[int, int]]:
    """The blocks that are finished, and what would tell that one was written again."""
    found = {path.name: path.stat() for path in sorted(folder.glob("work/*/web/*.npz"))}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def workers(parent: int) -> list[int]:
    """The processes of the pool that a process has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            belongs = int(status.read_text().rpartition(")")[2].split()[1]) == parent
            if belongs and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                found.append(int(status.parent.name))
        except OSError:  # it has ended
            continue
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.002)


def published(folder: Path) -> dict[str, str]:
    return {file.path: file.sha256 for file in Manifest.read(folder).files}


def test_kills_change_nothing_and_no_block_is_encoded_twice(start, tmp_path):
    out, chance = tmp_path / "killed", random.Random(1)
    finished: dict[str, tuple[int, int]] = {}
    for more in (0, 1, 3, 2):
        process = start("killed")
        wait_for(lambda process=process: len(workers(process.pid)) == 2)
        goal = len(finished) + more
        wait_for(lambda goal=goal: len(blocks(out)) >= goal)
        time.sleep(chance.uniform(0, 0.1))
        pool = workers(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL and not (out / "manifest.json").exists()
        wait_for(lambda pool=pool: not any(map(alive, pool)))  # nobody writes behind a dead process
        assert finished.items() <= blocks(out).items()
        finished = blocks(out)
    assert 6 <= len(finished) < TABLES
    # As a kill during the joining would leave it.
    (out / "tokens").mkdir(exist_ok=True)
    (out / "tokens/web.bin").write_bytes(b"part")
    assert start("killed").wait() == 0 and start("whole").wait() == 0
    assert published(out) == published(tmp_path / "whole")
    assert f"{len(finished)} of {TABLES} blocks are encoded already" in (tmp_path / "log").read_text()
    assert sorted(path.name for path in out.iterdir()) == [".lock", "manifest.json", "tokens"]


def test_a_process_of_the_pool_that_is_killed_is_one_sentence_and_no_hang(start, tmp_path):
    process = start("out")
    wait_for(lambda: blocks(tmp_path / "out"))
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    assert process.wait(60) == 1
    finished = blocks(tmp_path / "out")
    said = (tmp_path / "stderr").read_text()
    assert said.startswith(
        "error: tokenize_encode encode: a process of the pool was killed while it encoded, most likely"
    )
    assert said.count("\n") == 1 and "run again: the blocks that are encoded are kept" in said
    assert finished and start("out").wait() == 0
    assert f"{len(finished)} of {TABLES} blocks are encoded already" in (tmp_path / "log").read_text()


def test_ctrl_c_ends_every_process_after_its_block(start, tmp_path):
    process = start("out")
    wait_for(lambda: blocks(tmp_path / "out"))
    pool, before = workers(process.pid), len(blocks(tmp_path / "out"))
    for each in (process.pid, *pool):  # as a terminal does
        os.kill(each, signal.SIGINT)
    assert process.wait(60) != 0 and not (tmp_path / "out/manifest.json").exists()
    assert before < len(blocks(tmp_path / "out")) < TABLES
    wait_for(lambda: not any(map(alive, pool)))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_shard(encode_spec, documents, prose, tmp_path):
    """Three blocks instead of one, and both processes have the same peak."""
    texts, peaks = [prose(seed, 480) for seed in range(100)], []
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    for size in (4_000, 12_000):
        folder = documents(f"s{size}", [[f"{number} {texts[number % 100]}" for number in range(size)]])
        (tmp_path / "spec.json").write_text(encode_spec([folder]).model_dump_json())
        words = [sys.executable, "-m", "trellis.tokenize", "--spec", str(tmp_path / "spec.json"), "--threads", "1"]
        process = subprocess.Popen(
            [*words, "--out", str(tmp_path / f"out{size}"), "--log", str(tmp_path / "log")], env=environment
        )
        peak: dict[int, float] = {}
        while process.poll() is None:
            for each in (process.pid, *workers(process.pid)):
                peak[each] = max(peak_mib(each), peak.get(each, 0))
            time.sleep(0.02)
        assert process.returncode == 0 and len(peak) == 2
        peaks.append(sorted(peak.values()))
    assert all(after < 1.15 * before for before, after in zip(*peaks, strict=True)), peaks


def peak_mib(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):  # it has ended
        return 0
