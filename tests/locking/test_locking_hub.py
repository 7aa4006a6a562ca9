"""The lock against the local hub: what it pins, and what it says where the hub has not what is asked for."""

import json
import shutil
from pathlib import Path

import pytest

import hub_faults as faults
from hub_repos import GATED, populate, repositories
from lock_studies import FILES, INFO, NAME, PARTS, REPO, SECRET, WHOLE, everything, hub_part, pin
from trellis.dataflow import build_jobs
from trellis.experiment.whole import load_experiment
from trellis.locking.drift import check
from trellis.locking.lock import lock
from trellis.plan import load_pins

ROOT = Path(__file__).parents[2]

# ---------------------------------------------------------------- an honest hub


def test_files_small_and_large_are_pinned_at_the_commit(hub, study, locked, capsys):
    """Three pages of listing; large files by the hash in it, small ones by their bytes."""
    path = study(WHOLE)
    assert locked(path)["repos"] == everything(FILES, hub.sha("dataset", NAME))
    trees = [request for request in hub.requests if "/tree/" in request.path]
    assert len(trees) == 3 and all(hub.sha("dataset", NAME) in request.path for request in trees)
    fetched = [request.path.split("/", 6)[6] for request in hub.requests if "/resolve/" in request.path]
    assert sorted(fetched) == ["README.md", "notes/one.txt", "notes/é 2.txt"]
    said = capsys.readouterr().out
    revision = hub.sha("dataset", NAME)[:8]
    assert (
        f"sources.own.parts.0: {REPO}@{revision}, 123 of 123 files, 127.2 kB, about 127,160 tokens, not gated" in said
    )
    assert (
        "warning: sources.own.parts.0: all 123 files hold 127.2 kB, 0.0% of the 1.0 GB (1,000,000,000 tokens)" in said
    )
    assert "to download: 123 files of the hub, 127.2 kB (budgets with 10% more)" in said


def test_the_same_hub_gives_the_same_bytes(hub, study, locked, workflow):
    path, file = study(hub_part(NAME, "data/*", tokens=10_000)), workflow / "config/locks/study.json"
    locked(path)
    first = file.read_bytes()
    hub.page_size = 7
    locked(path)
    assert file.read_bytes() == first
    assert first.decode() == json.dumps(json.loads(first), indent=1, sort_keys=True) + "\n"


def test_a_budget_takes_few_files_and_a_larger_one_the_same_and_more(hub, study, locked, capsys):
    few = locked(study(hub_part(NAME, "data/*", tokens=10_000)))["repos"][REPO]["files"]
    assert 11_000 <= sum(file["bytes"] for file in few.values()) < 12_200
    assert sorted(few) != sorted(PARTS)[: len(few)]
    more = locked(study(hub_part(NAME, "data/*", tokens=10_000, rate=2.0)))["repos"][REPO]["files"]
    assert few.items() < more.items() and sum(file["bytes"] for file in more.values()) >= 22_000
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["main", "v1", "tag", "refs/pr/1", "sha"])
def test_branch_tag_and_commit_are_resolved(hub, study, locked, name):
    old = hub.sha("dataset", NAME)
    hub.tag("dataset", NAME, "tag")
    other = hub.add("dataset", NAME, {"notes/one.txt": b"other"}, branch="v1")
    hub.add("dataset", NAME, {"notes/one.txt": b"other"}, branch="refs/pr/1")
    part = hub_part(NAME, "notes/*", revision=old if name == "sha" else name)
    made = locked(study(part))["repos"][REPO]
    changed = name in ("v1", "refs/pr/1")
    assert (made["files"]["notes/one.txt"] == pin(b"other")) == changed
    assert (made["revision"] == old) != changed and (name != "v1" or made["revision"] == other)


def test_several_needs_of_one_repository_are_one_commit_and_its_union(hub, study, locked, refused):
    """The branch moves as soon as it was asked for: what is locked stays one commit."""
    first = hub.sha("dataset", NAME)
    hub.fail(INFO, faults.meanwhile(lambda: hub.add("dataset", NAME, {"notes/one.txt": b"moved", "data/new": b"."})))
    notes, parts = hub_part(NAME, "notes/*", tokens=1000), hub_part(NAME, "data/part-00*")
    made = locked(study(notes, parts))["repos"]
    wanted = {path: data for path, data in FILES.items() if path.startswith(("notes/", "data/part-00"))}
    assert made == everything(wanted, first) and len(hub.sha("dataset", NAME)) == 40 != first


def test_two_revisions_of_one_repository_are_refused_before_anything_is_asked(hub, study, refused):
    path = study(hub_part(NAME, "data/*"), hub_part(NAME, "notes/*", revision="v1"))
    said = refused(path, f"^sources.own.parts.1: {REPO} is asked for at v1, and by sources.own.parts.0 at main")
    assert "one commit" in said and hub.requests == []


@pytest.mark.parametrize(
    ("licence", "said"), [("odc-by", "odc-by"), (["cc-by-sa-3.0", "gfdl"], "cc-by-sa-3.0 AND gfdl"), ([], "unknown")]
)
def test_the_licence_is_what_the_card_says(hub, study, locked, licence, said):
    hub.fail(INFO, faults.edit_json(lambda info: {**info, "cardData": {"license": licence}}))
    assert locked(study(WHOLE))["repos"][REPO]["licence"] == said


def test_a_repository_without_a_card_has_an_unknown_licence(hub, study, locked):
    hub.fail(INFO, faults.edit_json(lambda info: {key: value for key, value in info.items() if key != "cardData"}))
    assert locked(study(WHOLE))["repos"][REPO]["licence"] == "unknown"


def test_the_study_itself_is_locked_and_its_plan_follows(hub, workflow, capsys):
    """Sources, tokenizer, encoder, models, fine-tuning sets and benchmarks of `trellis-506m`, at the hub's small repos."""
    populate(hub, 0.05, 300)
    path = workflow / "config/experiments/trellis-506m.yaml"
    path.parent.mkdir()
    shutil.copy(ROOT / "config/experiments/trellis-506m.yaml", path)
    shutil.copy(ROOT / "config/prereg.yaml", workflow / "config")
    lock(workflow, path)
    experiment = load_experiment(path)
    pins = load_pins(workflow, path, experiment)
    contents = {
        f"{kind}s/{name}".removeprefix("models/"): repo for (kind, name), repo in repositories(0.05, 300).items()
    }
    for repo, pinned in pins.repos.items():
        assert pinned.gated == bool(contents[repo].gated) and not contents[repo].decoys & set(pinned.files)
        for file, each in pinned.files.items():
            assert each.model_dump() == pin(contents[repo].files[file])
    assert len(pins.repos) == 24 and pins.repos[f"datasets/{GATED}"].gated
    said = capsys.readouterr().out
    assert f"gated: accept the terms at {hub.endpoint}/datasets/{GATED}, and set HF_TOKEN" in said
    assert len(build_jobs(experiment, pins)) > 50
    assert check(workflow, path) == 0 and "nothing has changed" in capsys.readouterr().out


# ---------------------------------------------------------------- what the experiment asks for is not there


def test_a_pattern_that_matches_nothing_is_named(hub, study, refused):
    said = refused(
        study(hub_part(NAME, "data/*", "data/*.zip")), r"^sources.own.parts.0: data/\*.zip matches none of the 123"
    )
    assert f"{hub.endpoint}/{REPO}/tree/{hub.sha('dataset', NAME)}" in said


def test_unknown_repositories_and_revisions_are_named(hub, study, refused, monkeypatch):
    unknown = "^sources.own.parts.0: datasets/trellis/other: .* no such repository; .* private or gated, set HF_TOKEN"
    refused(study(hub_part("trellis/other", "*")), unknown)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert SECRET not in refused(study(hub_part("trellis/other", "*")), unknown)
    refused(
        study(hub_part(NAME, "*", revision="v9")), f"^sources.own.parts.0: {REPO}: .* no branch, tag or commit 'v9'"
    )


def test_a_token_that_is_refused_is_not_shown(hub, study, refused, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    hub.refuse(SECRET)
    said = refused(study(WHOLE), "answered 401 .*HF_TOKEN is not accepted")
    hub.fail(INFO, lambda request, reply: faults.error(403, None, f"no access for {request.token}"))
    said += refused(study(WHOLE), r"answered 403 \(no access for HF_TOKEN\)")
    monkeypatch.setenv("HF_TOKEN", f"“{SECRET}”")
    said += refused(study(WHOLE), "^HF_TOKEN holds characters that no token has")
    assert SECRET not in said + "".join(capfd.readouterr())


def test_a_gated_repository_is_listed_and_its_small_files_need_the_token(
    hub, study, locked, refused, monkeypatch, capsys
):
    hub.add("dataset", NAME, {}, gated="manual")
    refused(study(WHOLE), f"^{REPO} is gated: accept its terms at {hub.endpoint}/{REPO} and set HF_TOKEN")
    assert locked(study(hub_part(NAME, "data/*")))["repos"][REPO]["gated"] is True
    assert f"accept the terms at {hub.endpoint}/{REPO}" in capsys.readouterr().out
    hub.grant(NAME, SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    made = locked(study(WHOLE))["repos"][REPO]
    assert len(made["files"]) == len(FILES) and SECRET not in json.dumps(made) + "".join(capsys.readouterr())
    assert {request.token for request in hub.requests[-3:]} == {SECRET}


def test_a_process_of_its_own_honours_endpoint_and_token(hub, study, workflow, trellis_lock):
    """HF_ENDPOINT is read when the client is imported; stderr holds one sentence or nothing."""
    hub.add("dataset", NAME, {}, gated="auto")
    hub.grant(NAME, SECRET)
    path, here = str(study(WHOLE)), {"HF_ENDPOINT": hub.endpoint, "HOME": str(workflow)}
    code, _, said = trellis_lock(path, **here)
    assert code == 1 and said.startswith(f"error: {REPO} is gated") and said.count("\n") == 1
    hub.fail("GET /api/agent-harnesses", faults.hang())  # what the client asks for besides, and may do without
    code, said, wrong = trellis_lock(path, **here, HF_TOKEN=SECRET)
    assert (code, wrong) == (0, "") and "123 of 123 files" in said and SECRET not in said
    new = hub.add("dataset", NAME, {"notes/one.txt": b"moved"})
    code, said, _ = trellis_lock(path, "--check", **here, HF_TOKEN=SECRET)
    assert code == 1 and new[:8] in said
    offline = trellis_lock(path, "--check", **here, HF_HUB_OFFLINE="1")[2]
    assert offline == "error: HF_HUB_OFFLINE is set, and the hub cannot be asked; unset it and run again\n"
