"""Results on disk: verify finds every change, gc lets go only of what nothing leads to, adopt follows a harmless edit."""

import json
from pathlib import Path

import pytest

from trellis.errors import TrellisError
from trellis.job import Job
from trellis.manifest import Manifest, list_files
from trellis.overview import explain
from trellis.plan import Plan
from trellis.published import fingerprint_of, is_current, take_down
from trellis.store import adopt, problems, stored, unreached

CODE = {"trellis.a": "1", "trellis.b": "1"}


class FixedCode(Job):
    """A job whose code digest the test sets."""

    code: dict[str, str]

    @property
    def components(self):
        inputs = {role: [job.fingerprint for job in jobs] for role, jobs in self.inputs.items()}
        return {"config": self.config, "code": self.code, "inputs": inputs}


def chain(lr=1, codes=None):
    """base -> tuned -> scored -> report, with the code digests given by name."""
    jobs, before = [], []
    for stage, name in (("pretrain", "base"), ("sft", "tuned"), ("evaluate", "scored"), ("report", "report")):
        job = FixedCode(stage, "run", name, {"lr": lr} if name == "base" else {}, {"from": before} if before else {})
        object.__setattr__(job, "code", (codes or {}).get(name, CODE))
        jobs.append(job)
        before = [job]
    return Plan("test", None, None, jobs)


def make(job: Job, content: str = "weights") -> Manifest:
    job.folder.mkdir(parents=True)
    (job.folder / "model").mkdir()
    (job.folder / "model/weights").write_text(content)
    manifest = Manifest(
        stage=job.stage,
        command=job.command,
        name=job.name,
        fingerprint=job.fingerprint,
        components=job.components,
        files=list_files(job.folder, {}),
        metrics={},
        run={},
        folder=job.folder,
    )
    manifest.write()
    return manifest


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = chain()
    for job in plan.jobs:
        make(job)
    return plan


def test_verify_finds_what_was_changed_cut_or_lost(made):
    assert [problem for manifest in stored() for problem in problems(manifest)] == []
    base, tuned, scored, report = (job.folder / "model/weights" for job in made.jobs)
    base.write_text("weightz")
    tuned.write_text("w")
    scored.unlink()
    manifest = report.parents[1] / "manifest.json"
    content = json.loads(manifest.read_text())
    content["components"]["config"] = {"lr": 3}
    manifest.write_text(json.dumps(content))
    found = sorted(problem for manifest in stored() for problem in problems(manifest))
    assert len(found) == 4
    assert found[0] == f"{scored} is missing"
    assert found[1] == f"{base} has changed since it was made"
    assert "its components give fingerprint" in found[2]
    assert found[3] == f"{tuned} has changed since it was made"


def test_gc_lists_only_what_no_plan_leads_to(made):
    other = chain(lr=2)
    for job in other.jobs:
        make(job)
    assert unreached([made, other]) == []
    assert [folder for folder, _ in unreached([made])] == sorted(job.folder for job in other.jobs)


def test_why_names_the_key_the_module_and_the_input(made):
    lines = list(explain(chain(lr=2, codes={"scored": {**CODE, "trellis.b": "2"}})))
    assert "  config: lr was 1, is 2" in lines
    assert "  inputs: from: pretrain/base" in lines
    assert "  code: trellis.b has changed" in lines
    assert lines[-1] == "0 of 4 results are there"
    assert list(explain(made)) == ["4 of 4 results are there"]


def test_adopting_a_code_change_carries_it_and_all_below_over(made):
    plan = chain(codes={"base": {**CODE, "trellis.a": "2"}})
    adopted = adopt(plan, ["pretrain/*"], "only a log line")
    assert [job.label for job, _ in adopted] == ["pretrain/base", "sft/tuned", "evaluate/scored"]
    for job, old in adopted:
        manifest = Manifest.read(job.folder)
        assert list(problems(manifest)) == []
        assert manifest.adopted == [{"from": old.fingerprint, "reason": "only a log line"}]
        assert (job.folder / "model/weights").samefile(old.folder / "model/weights")
    assert not plan.report.manifest.exists()


def test_what_stands_beside_a_result_goes_with_it(made):
    (made.jobs[0].folder / "speed.jsonl").write_text("{}")
    (made.jobs[0].folder / "tracking").mkdir()
    (made.jobs[0].folder / "tracking/events").write_text("seen")
    plan = chain(codes={"base": {**CODE, "trellis.a": "2"}})
    adopt(plan, ["pretrain/*"], "only a log line")
    assert (plan.jobs[0].folder / "speed.jsonl").read_text() == "{}"
    assert (plan.jobs[0].folder / "tracking/events").read_text() == "seen"


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(lambda: chain(lr=2), id="the config differs"),
        pytest.param(lambda: chain(codes={"tuned": {**CODE, "trellis.a": "2"}}), id="another stage's code differs"),
    ],
)
def test_nothing_but_the_named_code_change_is_adopted(made, plan):
    with pytest.raises(TrellisError, match="nothing to adopt"):
        adopt(plan(), ["pretrain/base"], "no reason")


def test_adoption_stops_at_a_stage_whose_own_code_changed_too(made):
    changed = {**CODE, "trellis.a": "2"}
    plan = chain(codes={"base": changed, "scored": changed})
    assert [job.label for job, _ in adopt(plan, ["pretrain/base"], "x")] == ["pretrain/base", "sft/tuned"]


def test_a_published_report_knows_what_it_shows(tmp_path):
    report, witness = tmp_path / "report.html", tmp_path / "wanted"
    assert fingerprint_of(report) is None
    assert not is_current("a" * 64, report, witness)
    report.write_text(f'<!doctype html><head><meta name="trellis-fingerprint" content="{"a" * 64}">')
    assert fingerprint_of(report) == "a" * 64
    assert is_current("a" * 64, report, witness)
    before = witness.stat().st_mtime_ns
    assert is_current("a" * 64, report, witness) and witness.stat().st_mtime_ns == before
    assert not is_current("b" * 64, report, witness)
    assert witness.stat().st_mtime_ns > report.stat().st_mtime_ns
    take_down("a" * 64, report)
    assert report.exists()
    take_down("b" * 64, report)
    assert not report.exists()


def test_an_unfinished_or_spoilt_manifest_is_named(tmp_path):
    with pytest.raises(TrellisError, match=r"manifest.json is missing: the stage that makes it has not finished"):
        Manifest.read(tmp_path)
    Path(tmp_path, "manifest.json").write_text("{")
    with pytest.raises(TrellisError, match="is not a manifest"):
        Manifest.read(tmp_path)
