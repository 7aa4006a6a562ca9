"""The study's dataflow from a lock that nobody fetched: what is fetched once, what is an address, what is refused."""

import json
from collections import Counter
from pathlib import Path

import pytest

from imagined import imagined_lock
from trellis import job as job_module
from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.experiment.reading import read_yaml
from trellis.experiment.section import semantic
from trellis.experiment.whole import Experiment, load_experiment
from trellis.patterns import matching

ROOT = Path(__file__).parents[1]


STUDY = ROOT / "config/experiments/trellis-506m.yaml"


@pytest.fixture(scope="module")
def study() -> Experiment:
    return load_experiment(STUDY)


def changed(study: Experiment, change) -> Experiment:
    """The study with its YAML changed by `change`, a function of its content."""
    content = read_yaml(STUDY)
    change(content)
    return Experiment.model_validate({**content, "prereg": study.prereg})


def test_every_locked_file_is_fetched_once_and_every_shard_of_it_rendered(study):
    lock = imagined_lock(study)
    jobs = build_jobs(study, lock)
    fetched = Counter(
        (job.config["files"].repo, path) for job in jobs if job.command == "hub" for path in job.config["files"].files
    )
    assert fetched == Counter((repo, path) for repo, content in lock.repos.items() for path in content.files)
    shards = [job for job in jobs if job.command == "shard"]
    parts = Counter(job.inputs["files"][0] for job in shards)
    for job in shards:
        assert job.config["shards"] == parts[job.inputs["files"][0]]
    assert len({job.folder for job in jobs}) == len(jobs)
    # 2 GB of parquet are about 4 GB of text: four shards.
    (first,) = {job.config["shards"] for job in shards if job.config["source"] == "finemath"}
    assert first == 4


def test_the_jobs_are_in_an_order_in_which_they_can_run(study):
    jobs = build_jobs(study, imagined_lock(study))
    place = {job: number for number, job in enumerate(jobs)}
    assert all(place[read] < place[job] for job in jobs for reads in job.inputs.values() for read in reads)
    assert all(place[first] < place[job] for job in jobs for first in job.after)


def test_a_commit_that_changes_no_file_changes_no_address(study):
    one, two = (build_jobs(study, imagined_lock(study, revision=letter * 40)) for letter in "ab")
    moved = [a.label for a, b in zip(one, two, strict=True) if a.fingerprint != b.fingerprint]
    assert moved == ["report/report"]  # which names the commit


def test_what_the_lock_fixes_does_not_depend_on_the_code_that_fetches_it(study, monkeypatch):
    before = {job.label: job.fingerprint for job in build_jobs(study, imagined_lock(study))}
    real = job_module.code_digest

    def edited(module):
        digest = real(module)
        return {name: "edited" if name.startswith("trellis.download") else value for name, value in digest.items()}

    monkeypatch.setattr(job_module, "code_digest", edited)
    after = build_jobs(study, imagined_lock(study))
    same = {job.command for job in after if job.fingerprint == before[job.label]}
    assert {"hub", "wheel"} <= same
    assert "shard" not in same


def test_an_edited_renderer_touches_only_its_own_shards(study, monkeypatch):
    before = {job.folder.name: job.fingerprint for job in build_jobs(study, imagined_lock(study))}
    real = job_module.code_digest
    monkeypatch.setattr(
        job_module,
        "code_digest",
        lambda module: {
            name: "edited" if name.endswith("renderers.messages") else value for name, value in real(module).items()
        },
    )
    after = [job for job in build_jobs(study, imagined_lock(study)) if job.command == "shard"]
    stale = {job.config["source"] for job in after if job.folder.name not in before}
    assert stale == {"ultrachat"}


def test_more_files_of_a_source_leave_its_other_shards_alone(study):
    few, many = (
        {job.folder for job in build_jobs(study, imagined_lock(study, files)) if job.command == "shard"}
        for files in (2, 3)
    )
    assert few < many


def test_two_sources_may_not_read_the_same_file(study):
    def change(content):
        again = {**content["sources"]["finemath"]["parts"][0], "files": ["finemath-4plus/1.parquet"]}
        content["sources"]["wikipedia"]["parts"] += [again]

    twice = changed(study, change)
    with pytest.raises(
        TrellisError, match=r"sources.wikipedia.parts.1: .*/finemath-4plus/1.parquet is read by sources"
    ):
        build_jobs(twice, imagined_lock(study))


def test_local_files_need_no_download(study):
    def change(content):
        part = {"kind": "local", "files": ["mine/*.jsonl"], "reader": "text_column"}
        content["sources"]["wikipedia"]["parts"] = [part]

    experiment = changed(study, change)
    lock = imagined_lock(experiment)
    mine = [job for job in build_jobs(experiment, lock) if job.config.get("source") == "wikipedia"]
    assert [list(job.config["local"]) for job in mine] == [["mine/0.jsonl"]] * 2 + [["mine/1.jsonl"]] * 2
    assert not any(job.inputs for job in mine)


def stale(before: Experiment, after: Experiment) -> set[str]:
    """The labels of the jobs whose address is another."""
    old = {job.folder for job in build_jobs(before, imagined_lock(before))}
    return {job.label for job in build_jobs(after, imagined_lock(after)) if job.folder not in old}


def test_every_model_answers_every_suite_and_all_answers_are_compared(study):
    jobs = [job for job in build_jobs(study, imagined_lock(study)) if job.stage == "evaluate"]
    named = {command: {job.name: job for job in jobs if job.command == command} for command in ("generate", "score")}
    variants = {f"{model}-{seed}" for model in study.models for seed in ("base", "s0", "s1", "s2")}
    assert set(named["generate"]) == {
        f"generate-{variant}-{suite}" for variant in variants for suite in study.evaluation.suites
    }
    assert set(named["score"]) == {f"score-{variant}" for variant in variants}
    assert [job.config["base"] for name, job in named["generate"].items() if "-base-" in name] == [True] * 18
    (compare,) = [job for job in jobs if job.command == "compare"]
    assert compare.inputs["scores"] == [job for job in jobs if job.command == "score"]
    assert [job.name for job in compare.inputs["distance"]] == ["distance"]
    assert {job.name for job in compare.inputs["knowledge"]} == {f"knowledge-{variant}" for variant in variants}
    for job in named["score"].values():
        assert [read.name for read in job.inputs["items"]] == [f"items-{suite}" for suite in study.evaluation.suites]
    for job in compare.inputs["knowledge"]:
        tasks = json.loads(json.dumps(semantic(job.config), sort_keys=True))["knowledge"]["tasks"].values()
        for task, read in zip(tasks, job.inputs["files"], strict=True):
            files = read.config["files"]
            assert files.repo == f"datasets/{task['repo']}" and matching(files.files, task["files"]) == sorted(
                files.files
            )


def test_no_training_starts_before_the_suites_stand_and_none_depends_on_them(study):
    """Items and their distance come first in time, not in the address: another suite makes no model stale."""
    jobs = build_jobs(study, imagined_lock(study))
    first = {"items-" + suite for suite in study.evaluation.suites} | {"distance"}
    trainings = [job for job in jobs if job.command == "train" and job.stage in ("pretrain", "sft")]
    assert len(trainings) == 1 + 3 * 3
    for job in trainings:
        assert {each.name for each in job.after} == first

    def fewer(content):
        content["evaluation"]["suites"]["extraction"]["items"] = 400

    moved = stale(study, changed(study, fewer))
    variants = {f"{model}-{seed}" for model in study.models for seed in ("base", "s0", "s1", "s2")}
    assert moved == {
        "evaluate/items-extraction",
        "evaluate/distance",
        "evaluate/compare",
        "report/report",
        *(f"evaluate/generate-{variant}-extraction" for variant in variants),
        *(f"evaluate/score-{variant}" for variant in variants),
    }


def test_another_preregistration_makes_nothing_but_the_comparison_anew(study):
    other = study.prereg.model_copy(update={"margin": 0.05})
    assert stale(study, study.model_copy(update={"prereg": other})) == {"evaluate/compare", "report/report"}
