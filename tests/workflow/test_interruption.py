"""Nothing lost: a run that is killed again and again ends with the same bytes as one that is not."""

import base64
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import psutil
import pytest

pytestmark = pytest.mark.slow


def contents(workflow):
    """The sha256 of every file of every result, by path."""
    found = {}
    for path in workflow.folder.glob("results/*/*/manifest.json"):
        for file in json.loads(path.read_text())["files"]:
            found[f"{path.parent.name}/{file['path']}"] = file["sha256"]
    return found


def test_a_run_killed_at_many_moments_ends_with_the_same_bytes(pristine, finished, tmp_path):
    """kill -9 to the whole process group, as a machine that loses power would, every few seconds."""
    workflow = pristine.clone(tmp_path / "trellis")
    command = ["snakemake", "--cores", "2", "--nolock", "results/report.html", "--config", "experiment=smoke"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    kills = 0
    for seconds in (4, 9, 14, 8, 12):
        process = subprocess.Popen(
            command,
            cwd=workflow.folder,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 3
    assert workflow.snakemake("--nolock").returncode == 0, workflow.log
    expected, found = contents(finished), contents(workflow)
    # The report shows seconds and memory of its own run.
    differing = {path for path in expected if found.get(path) != expected[path] and not path.startswith("report-")}
    assert not differing
    assert workflow.stale() == {}


def test_a_training_that_is_told_to_stop_is_resumed_within_the_same_run(workflow):
    """Preempted, say: Snakemake tries the job again, which goes on from its checkpoint to the same bytes."""
    # More steps than a signal needs to arrive.
    workflow.edit("config/experiments/smoke.yaml", "batch_tokens: 4096", "batch_tokens: 256")
    workflow.edit("config/experiments/smoke.yaml", "log_interval: 5", "log_interval: 1")
    command = [
        "snakemake",
        "--cores",
        "2",
        "results/report.html",
        "--until",
        "pretrain_train",
        "--config",
        "experiment=smoke",
    ]
    before = set(workflow.folder.glob("results/pretrain/trellis-*"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def start():
        with (workflow.folder / "said.txt").open("w") as said:
            return subprocess.Popen(command, cwd=workflow.folder, env=environment, stdout=said, stderr=said)

    def digests():
        return {file["path"]: file["sha256"] for file in json.loads((folder / "manifest.json").read_text())["files"]}

    assert start().wait() == 0, (workflow.folder / "said.txt").read_text()
    (folder,) = set(workflow.folder.glob("results/pretrain/trellis-*")) - before
    expected = digests()
    shutil.rmtree(folder)
    process, journal = start(), folder / "work/metrics.jsonl"
    while not (journal.exists() and journal.read_text()):
        assert process.poll() is None, (workflow.folder / "said.txt").read_text()
        time.sleep(0.005)
    for each in psutil.Process(process.pid).children(recursive=True):
        if "trellis.pretrain" in each.cmdline():
            each.terminate()
    assert process.wait() == 0, (workflow.folder / "said.txt").read_text()
    assert "stopped by SIGTERM after step" in (workflow.folder / "said.txt").read_text()
    assert "going on from the checkpoint of step" in (folder / "log.txt").read_text()
    assert digests() == expected


def test_a_result_that_snakemake_was_killed_before_noting_is_kept_and_the_rest_is_made(workflow):
    (manifest,) = workflow.folder.glob("results/sft/trellis-s0-*/manifest.json")
    for folder in workflow.folder.glob("results/*/*trellis-s0-*"):
        if folder.parent.name == "evaluate":
            shutil.rmtree(folder)
    for folder in (*workflow.folder.glob("results/evaluate/compare-*"), workflow.folder / "results/report"):
        shutil.rmtree(folder)
    (workflow.folder / "results/report.html").unlink()
    name = base64.b64encode(str(manifest.relative_to(workflow.folder)).encode()).decode()
    (workflow.folder / ".snakemake/incomplete" / name).write_text('{"external_jobid": null}')
    expected = {
        "evaluate_generate": 2,
        "evaluate_score": 1,
        "evaluate_compare": 1,
        "report_build": 1,
        "report_publish": 1,
    }
    assert workflow.stale() == expected


def test_the_finished_run_is_whole_and_nothing_in_it_is_superfluous(finished):
    def ask(*words):
        environment = {**os.environ, "PYTHONPATH": str(finished.folder / "workflow/scripts")}
        command = ["python", "-m", "trellis", *words]
        return subprocess.run(command, cwd=finished.folder, env=environment, capture_output=True, text=True)

    verified = ask("verify")
    assert verified.returncode == 0 and verified.stdout.endswith("66 results checked, 0 problems\n")
    assert "0.0 MiB in 0 results" in ask("gc").stdout
    assert ask("why", "--experiment", "smoke").stdout == "66 of 66 results are there\n"


def test_a_second_run_has_nothing_to_do_within_five_seconds(workflow):
    """Of processor time, so that what else the machine does is not counted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert workflow.snakemake().returncode == 0
    assert "Nothing to be done" in workflow.log
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


@pytest.mark.parametrize(
    "command",
    ["snakemake --cores 16 --resources gpu=1 results/report.html", "snakemake --cores 2 results/report.html"],
)
def test_the_two_commands_of_the_readme_work_word_for_word(workflow, command):
    workflow.edit("config/config.yaml", "experiment: demo", "experiment: smoke")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answer = subprocess.run(command.split(), cwd=workflow.folder, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0 and "Nothing to be done" in answer.stdout + answer.stderr
