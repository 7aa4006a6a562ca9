"""`lock --check`: what has changed on the hub, in the experiment and in the lock since it was written."""

import json

import pytest

import hub_faults as faults
from lock_studies import FILES, INFO, NAME, REPO, WHOLE, hub_part
from trellis.errors import TrellisError
from trellis.locking.drift import check


def test_a_branch_that_moved_is_told_with_what_it_did_to_the_locked_files(hub, study, locked, checked):
    path = study(hub_part(NAME, "data/part-00*", "notes/*"))
    locked(path)
    old = hub.sha("dataset", NAME)
    assert checked(path) == (0, checked(path)[1]) and "nothing has changed" in checked(path)[1]
    same = hub.add("dataset", NAME, {"README.md": b"# Another\n", "data/part-100.parquet": None})
    assert checked(path) == (1, f"{REPO}: main was {old[:8]} and is {same[:8]}; the locked files are the same\n")
    changes = {f"data/part-00{number}.parquet": bytes(1000 + number) for number in range(1, 6)}
    new = hub.add("dataset", NAME, {**changes, "notes/one.txt": None, "notes/é 2.txt": b"??"})
    first = ", ".join(f"data/part-00{number}.parquet" for number in (1, 2, 3))
    assert checked(path) == (
        1,
        f"{REPO}: main was {old[:8]} and is {new[:8]}; 6 of 12 locked files changed: {first} and 3 more; "
        "1 of 12 locked files vanished: notes/one.txt\n",
    )


def test_a_locked_commit_stays_whatever_the_branch_does(hub, study, locked, checked):
    path = study(hub_part(NAME, "data/*", revision=hub.sha("dataset", NAME)))
    locked(path)
    hub.add("dataset", NAME, {"data/part-000.parquet": b"other"})
    assert checked(path)[0] == 0


def not_found(code):
    return lambda request, reply: faults.error(404, code, "")


def test_gone_gated_and_relicensed_repositories_are_told(hub, study, locked, checked):
    path = study(hub_part(NAME, "data/*"))
    made = locked(path)
    hub.add("dataset", NAME, {}, gated="auto", licence="cc-by-nc-4.0")
    changes, said = checked(path)
    assert changes == 3 and f"{REPO}: is gated now; the terms are at {hub.endpoint}/{REPO}\n" in said
    assert f"{REPO}: the licence was mit and is cc-by-nc-4.0\n" in said
    hub.fail(f"{INFO}/{made['repos'][REPO]['revision']}", not_found("RevisionNotFound"), times=None)
    assert "the locked files cannot be fetched any more" in checked(path)[1]
    hub.forget()
    hub.fail(INFO, not_found("RepoNotFound"), times=None)
    changes, said = checked(path)
    assert changes == 1 and "no such repository" in said


def test_what_the_experiment_asks_for_and_the_lock_does_not_pin_is_told(hub, study, locked, checked):
    locked(study(hub_part(NAME, "data/part-00*", tokens=3000)))
    changes, said = checked(study(hub_part(NAME, "data/part-00*", tokens=5000)))
    assert changes == 1 and said.startswith("sources.own.parts.0: the lock does not pin data/part-00")
    hub.add("dataset", "trellis/second", FILES)
    changes, said = checked(study(hub_part("trellis/second", "data/*")))
    assert (changes, said) == (1, "sources.own.parts.0: the lock does not pin datasets/trellis/second\n")
    package = {"kind": "wheel", "package": "evals", "reader": "abstracts", "members": ["x"]}
    assert checked(study(package)) == (1, "sources.own.parts.0.package: the lock does not pin evals\n")


def test_a_lock_that_was_edited_is_told(hub, study, locked, checked, workflow):
    path, file = study(hub_part(NAME, "data/part-000.parquet", "notes/*")), workflow / "config/locks/study.json"
    made = locked(path)
    for name in ("data/part-000.parquet", "notes/one.txt"):
        made["repos"][REPO]["files"][name]["sha256"] = "0" * 64
    file.write_text(json.dumps(made))
    changes, said = checked(path)
    assert changes == 1 and "at the locked commit" in said and "2 of 3 locked files changed: data/part-000" in said


def test_a_check_that_cannot_ask_says_so(hub, study, locked, workflow, turn_to):
    path = study(WHOLE)
    locked(path)
    turn_to("http://127.0.0.1:9")
    with pytest.raises(TrellisError, match="cannot be reached"):
        check(workflow, path)
