"""The study's dataflow from a lock that nobody fetched: what is fetched once, what is an address, what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from imagined import imagined_lock
from trellis import job as job_module
from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.experiment.reading import read_yaml
from trellis.experiment.whole import Experiment, load_experiment

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def study() -> Experiment:
    return load_experiment(ROOT / "config/experiments/trellis-506m.yaml")


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


def test_a_commit_that_changes_no_file_changes_no_address(study):
    one, two = (build_jobs(study, imagined_lock(study, revision=letter * 40)) for letter in "ab")
    changed = [a.label for a, b in zip(one, two, strict=True) if a.fingerprint != b.fingerprint]
    assert changed == ["report/report"]  # which names the commit


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
    content = read_yaml(ROOT / "config/experiments/trellis-506m.yaml")
    content["sources"]["wikipedia"]["parts"] += [
        {**content["sources"]["finemath"]["parts"][0], "files": ["finemath-4plus/1.parquet"]}
    ]
    twice = Experiment.model_validate(content)
    with pytest.raises(
        TrellisError, match=r"sources.wikipedia.parts.1: .*/finemath-4plus/1.parquet is read by sources"
    ):
        build_jobs(twice, imagined_lock(study))


def test_local_files_need_no_download(study):
    content = read_yaml(ROOT / "config/experiments/trellis-506m.yaml")
    content["sources"]["wikipedia"]["parts"] = [{"kind": "local", "files": ["mine/*.jsonl"], "reader": "text_column"}]
    experiment = Experiment.model_validate(content)
    lock = imagined_lock(experiment)
    mine = [job for job in build_jobs(experiment, lock) if job.config.get("source") == "wikipedia"]
    assert [list(job.config["local"]) for job in mine] == [["mine/0.jsonl"]] * 2 + [["mine/1.jsonl"]] * 2
    assert not any(job.inputs for job in mine)
