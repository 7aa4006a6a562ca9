"""The local hub is believed by the unmodified client, and each of its faults is what its name says."""

import gzip
import hashlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import hub_faults as faults
from local_hub import LocalHub

REPO = "trellis/example"
PLAIN = b"a short text\n"
LARGE = gzip.compress(bytes(range(256)) * 4000, mtime=0) + bytes(200_000)
FILES = {"README.md": PLAIN, "data/train-0.json.gz": LARGE, "data/deep/é 1.txt": b"x"} | {
    f"data/part-{number:03d}.parquet": bytes([number]) * number for number in range(120)
}


@pytest.fixture
def hub():
    with LocalHub() as hub:
        hub.add("dataset", REPO, FILES)
        yield hub


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def download(hub, tmp_path):
    """download(path, ...) -> bytes, by the real client, with an empty cache each time."""

    def fetch(path, repo=REPO, token=False, folder="cache", **options):
        options = {"repo_type": "dataset", "endpoint": hub.endpoint, "cache_dir": tmp_path / folder, **options}
        with open(hf_hub_download(repo, path, token=token, **options), "rb") as file:
            return file.read()

    return fetch


@pytest.fixture
def naps(monkeypatch):
    """The client's pauses, noted instead of slept."""
    slept = []
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", slept.append)
    return slept


def get(hub, path="data/train-0.json.gz", **options):
    options = {"follow_redirects": True, "timeout": 5, "trust_env": False, **options}
    return httpx2.get(f"{hub.endpoint}/datasets/{REPO}/resolve/main/{path}", **options)


# ---------------------------------------------------------------- the honest hub


def test_what_a_repo_says_about_itself(hub, api):
    hub.add("model", "org/model", {"config.json": b"{}"}, gated="manual", licence="apache-2.0")
    dataset, model = api.dataset_info(REPO, files_metadata=True), api.model_info("org/model")
    assert (dataset.sha, dataset.gated, dataset.card_data.license) == (hub.sha("dataset", REPO), False, "odc-by")
    assert (model.sha, model.gated, model.card_data.license) == (hub.sha("model", "org/model"), "manual", "apache-2.0")
    assert {file.rfilename: file.size for file in dataset.siblings} == {path: len(data) for path, data in FILES.items()}
    assert api.repo_info(REPO, repo_type="dataset", revision=dataset.sha).sha == dataset.sha
    assert [ref.target_commit for ref in api.list_repo_refs(REPO, repo_type="dataset").branches] == [dataset.sha]


def test_the_tree_comes_in_pages_with_sizes_and_hashes(hub, api, tmp_path):
    listed = list(api.list_repo_tree(REPO, repo_type="dataset", recursive=True))
    files = {entry.path: entry for entry in listed if hasattr(entry, "size")}
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in FILES.items()}
    assert {entry.path for entry in listed} - set(files) == {"data", "data/deep"}
    assert len(hub.requests) == 3 and len(listed) == len({entry.path for entry in listed})
    for path, data in FILES.items():
        lfs = files[path].lfs
        assert path.endswith((".parquet", ".gz")) == (lfs is not None)
        assert lfs is None or (lfs.sha256, lfs.size) == (hashlib.sha256(data).hexdigest(), len(data))
    (tmp_path / "file").write_bytes(PLAIN)
    git = subprocess.run(["git", "hash-object", "--no-filters", tmp_path / "file"], capture_output=True, text=True)
    assert files["README.md"].blob_id == git.stdout.strip()


def test_a_folder_and_single_paths_of_the_tree(api):
    assert {entry.path for entry in api.list_repo_tree(REPO, repo_type="dataset")} == {"README.md", "data"}
    deep = list(api.list_repo_tree(REPO, "data/deep", repo_type="dataset", expand=True))
    assert [entry.path for entry in deep] == ["data/deep/é 1.txt"] and deep[0].last_commit.title == "Commit 1"
    asked = ["data/deep", "data/train-0.json.gz", "none"]
    assert [entry.path for entry in api.get_paths_info(REPO, asked, repo_type="dataset")] == asked[:2]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(REPO, "none", repo_type="dataset"))


def test_a_commit_keeps_its_files_when_a_branch_moves_on(hub, download):
    first = hub.sha("dataset", REPO)
    hub.tag("dataset", REPO, "v1")
    second = hub.add("dataset", REPO, {"README.md": b"other\n", "data/train-0.json.gz": None})
    assert download("README.md") == b"other\n"
    assert download("README.md", revision=first) == download("README.md", revision="v1") == PLAIN
    assert download("data/part-007.parquet", revision=second) == FILES["data/part-007.parquet"]
    with pytest.raises(EntryNotFoundError):
        download("data/train-0.json.gz")
    hub.move("dataset", REPO, "main", first)
    assert download("README.md", folder="again") == PLAIN


def test_commits_are_a_function_of_the_content():
    def commits():
        with LocalHub() as hub:
            return hub.add("dataset", REPO, FILES), hub.add("dataset", REPO, {"a": b"1"}, branch="other")

    assert commits() == commits() and len(set(commits())) == 2


def test_large_files_come_from_the_cdn_without_the_token(hub, download):
    assert download("README.md", token="hf_secret") == PLAIN
    assert download("data/train-0.json.gz", token="hf_secret") == LARGE
    assert download("data/deep/é 1.txt") == b"x"
    cdn = [request for request in hub.requests if request.server == "cdn"]
    assert [(request.method, request.status, request.sent) for request in cdn] == [("GET", 200, len(LARGE))]
    assert cdn[0].token is None and "signature" in cdn[0].line.lower()
    assert {request.token for request in hub.requests if "train-0" in request.path} == {"hf_secret", None}
    assert hub.endpoint != hub.cdn


def test_a_signed_link_ends_and_cannot_be_made_up(hub):
    link = get(hub, follow_redirects=False).headers["location"]
    assert httpx2.get(link, trust_env=False).content == LARGE
    assert httpx2.get(link[:-1], trust_env=False).status_code == 403
    hub.link_seconds = -1
    assert get(hub).status_code == 403


@pytest.mark.parametrize("path", ["data/train-0.json.gz", "README.md"])
def test_ranges(hub, path):
    whole = FILES[path]
    for asked, part in [("3-7", whole[3:8]), ("5-", whole[5:]), ("-4", whole[-4:]), ("2-99999999", whole[2:])]:
        answer = get(hub, path, headers={"Range": f"bytes={asked}"})
        first = whole.index(part) if asked != "-4" else len(whole) - 4
        span = f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
        assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, part, span)
    past = get(hub, path, headers={"Range": f"bytes={len(whole)}-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_gates(hub, api, download):
    hub.add("dataset", "org/gated", {"a.parquet": b"1", "b.txt": b"2"}, gated="auto")
    hub.grant("org/gated", "hf_yes")
    assert api.dataset_info("org/gated").gated == "auto"
    assert len(list(api.list_repo_tree("org/gated", repo_type="dataset"))) == 2
    for token, code in ((False, 401), ("hf_no", 403)):
        for path in ("a.parquet", "b.txt"):
            with pytest.raises(GatedRepoError) as raised:
                download(path, "org/gated", token)
            assert raised.value.response.status_code == code
    assert "/datasets/org/gated" in str(raised.value)
    assert download("a.parquet", "org/gated", "hf_yes") == b"1"
    hub.refuse("hf_bad")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        HfApi(endpoint=hub.endpoint, token="hf_bad").dataset_info(REPO)


def test_what_is_not_there(api, download):
    with pytest.raises(EntryNotFoundError):
        download("none.txt")
    for call in (lambda: download("README.md", revision="none"), lambda: api.dataset_info(REPO, revision="0" * 40)):
        with pytest.raises(RevisionNotFoundError):
            call()
    for token, code in ((False, 401), ("hf_any", 404)):
        with pytest.raises(RepositoryNotFoundError) as raised:
            api.model_info(REPO, token=token)
        assert raised.value.response.status_code == code
    with pytest.raises(RepositoryNotFoundError):
        download("README.md", "no/thing")


def test_a_snapshot(hub, tmp_path):
    folder = snapshot_download(
        REPO,
        repo_type="dataset",
        endpoint=hub.endpoint,
        cache_dir=tmp_path,
        token=False,
        allow_patterns=["data/part-00*"],
    )
    assert sorted(path.name for path in (tmp_path / folder / "data").iterdir()) == [
        f"part-00{n}.parquet" for n in range(10)
    ]


# ---------------------------------------------------------------- the hub that misbehaves


def test_faults_are_counted_in_order_and_only_where_they_fit(hub):
    hub.fail("HEAD", faults.status(500))
    hub.fail("README.md", faults.cut(3))
    hub.fail("README.md", faults.status(503), times=None)
    url = f"{hub.endpoint}/datasets/{REPO}/resolve/main/README.md"
    assert [httpx2.head(url, trust_env=False).status_code for _ in range(2)] == [500, 503]
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub, "README.md")
    assert [get(hub, "README.md").status_code for _ in range(3)] == [503] * 3
    assert [request.spoiled for request in hub.requests] == [True] * 6
    hub.forget()
    assert get(hub, "README.md").content == PLAIN and len(hub.requests) == 1


@pytest.mark.parametrize("rate_limit", [False, True])
def test_429_says_when_to_come_back(hub, api, naps, rate_limit):
    hub.fail("/tree/", faults.status(429, retry_after=7, rate_limit=rate_limit))
    assert list(api.list_repo_tree(REPO, repo_type="dataset"))
    assert naps == [8.0]
    hub.fail("/api/", faults.status(429, retry_after=7, rate_limit=rate_limit))
    with pytest.raises(HfHubHTTPError, match="429 Too Many Requests"):
        api.dataset_info(REPO)


@pytest.mark.parametrize("code", [500, 503])
def test_server_errors(hub, download, naps, code):
    hub.fail("HEAD", faults.status(code), times=2)
    assert download("README.md") == PLAIN and naps == [1]
    hub.fail("/cdn/", faults.status(code))
    with pytest.raises(HfHubHTTPError, match=str(code)):
        download("data/train-0.json.gz")


def test_the_client_resumes_a_cut_body_with_a_range(hub, download, naps):
    block = constants.DOWNLOAD_CHUNK_SIZE
    body = hashlib.shake_256(b"seed").digest(block + 3000)
    hub.add("dataset", REPO, {"big.bin": body})
    hub.fail("/cdn/", faults.cut(block + 1000))
    assert download("big.bin") == body
    first, second = [request for request in hub.requests if request.server == "cdn"]
    assert (first.sent, second.headers["range"], second.status) == (block + 1000, f"bytes={block}-", 206)
    hub.fail("/cdn/", faults.cut(block + 1000))
    hub.fail("/cdn/", faults.ignore_range())
    assert download("big.bin", folder="again") == body
    hub.fail("/cdn/", faults.cut(block + 1000))
    hub.fail("/cdn/", faults.wrong_range(5))
    assert download("big.bin", folder="wrong") == body[:block] + body[block - 5 : -5]
    hub.fail("/cdn/", faults.cut(block + 1000))
    hub.fail("/cdn/", faults.refuse_range())
    with pytest.raises(HfHubHTTPError, match="416"):
        download("big.bin", folder="refused")


def test_a_reset_is_a_read_error(hub, download):
    hub.fail("/cdn/", faults.reset(1000))
    with pytest.raises(httpx2.ReadError):
        download("data/train-0.json.gz")
    hub.fail("README.md", faults.reset(0))
    with pytest.raises(httpx2.ReadError):
        get(hub, "README.md")


def test_a_body_shorter_than_announced_is_a_whole_answer(hub, download):
    hub.fail("/cdn/", faults.short(1000), times=2)
    answer = get(hub)
    assert (answer.status_code, answer.content) == (200, LARGE[:1000]) and "content-length" not in answer.headers
    with pytest.raises(OSError, match="Consistency check failed"):
        download("data/train-0.json.gz")


def test_a_slow_body_is_right_and_a_stalled_one_times_out(hub, download, naps, monkeypatch):
    hub.fail("README.md", faults.slow(rate=40))
    started = time.monotonic()
    assert get(hub, "README.md").content == PLAIN
    assert 0.2 < time.monotonic() - started < 5
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.fail("/cdn/", faults.stall(1000), times=2)
    assert download("data/train-0.json.gz") == LARGE and naps == [1, 1]
    assert [request.sent for request in hub.requests if request.server == "cdn"] == [1000, 1000, len(LARGE)]


def test_no_answer(hub):
    hub.fail("README.md", faults.hang())
    hub.fail("README.md", faults.hang(0.1))
    with pytest.raises(httpx2.ReadTimeout):
        get(hub, "README.md", timeout=0.1)
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub, "README.md")
    assert [request.status for request in hub.requests] == [None, None]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (faults.flip(), bytes([LARGE[0] ^ 1]) + LARGE[1:]),
        (faults.flip(-1), LARGE[:-1] + bytes([LARGE[-1] ^ 1])),
    ],
)
def test_the_client_takes_wrong_bytes_of_the_right_length(hub, download, fault, seen):
    hub.fail("/cdn/", fault)
    assert download("data/train-0.json.gz") == seen


def test_wrong_bytes_of_another_length(hub, download):
    hub.fail("/cdn/", faults.other_bytes(b"short"))
    with pytest.raises(OSError, match="Consistency check failed"):
        download("data/train-0.json.gz")


def test_a_captive_portal(hub, api, download):
    hub.fail("/api/", faults.html())
    with pytest.raises(ValueError, match="Expecting value"):
        api.dataset_info(REPO)
    hub.fail("HEAD", faults.html(), times=None)
    with pytest.raises(EnvironmentError):
        download("README.md")
    assert get(hub, "README.md").content == PLAIN
    hub.fail("/cdn/", faults.html())
    assert get(hub).text.startswith("<!doctype html>")


def test_an_expired_link_and_a_vanished_file(hub, download):
    hub.fail("train-0", faults.expired())
    with pytest.raises(HfHubHTTPError, match="403"):
        download("data/train-0.json.gz")
    assert [request.spoiled for request in hub.requests] == [False, True]
    hub.fail("README.md", faults.gone())
    with pytest.raises(EntryNotFoundError):
        download("README.md")


def test_a_branch_that_moves_between_pages_and_before_the_download(hub, api, download):
    old = hub.sha("dataset", REPO)
    hub.fail("/tree/", faults.meanwhile(lambda: hub.add("dataset", REPO, {"README.md": b"new\n", "zz.txt": b"1"})))
    listed = [entry.path for entry in api.list_repo_tree(REPO, repo_type="dataset", recursive=True)]
    assert "zz.txt" in listed and hub.sha("dataset", REPO) != old
    assert download("README.md") == b"new\n" and download("README.md", revision=old) == PLAIN


def test_listings_that_no_honest_hub_sends(hub, api):
    def listed(kind):
        hub.fail("/tree/", faults.listing(kind))
        return list(api.list_repo_tree(REPO, "data", repo_type="dataset"))

    assert "../../outside.parquet" in {entry.path for entry in listed("traversal")}
    assert "/tmp/outside.parquet" in {entry.path for entry in listed("absolute")}
    assert None in {entry.path for entry in listed("null")}
    paths = [entry.path for entry in listed("duplicate")]
    assert len(paths) == len(set(paths)) + 1
    assert sum(entry.lfs is None for entry in listed("no_sha256") if hasattr(entry, "lfs")) == 1
    assert None in {entry.size for entry in listed("no_size") if hasattr(entry, "size")}
    whole = list(api.list_repo_tree(REPO, "data", repo_type="dataset"))
    assert len(listed("empty")) == len(whole) - hub.page_size
    hub.fail("/api/", faults.edit_json(lambda info: {**info, "sha": None}))
    assert api.dataset_info(REPO).sha is None
    hub.fail("/tree/", faults.cut_json(100))
    with pytest.raises(ValueError, match="Unterminated|Expecting"):
        list(api.list_repo_tree(REPO, repo_type="dataset"))


def test_a_header_left_out(hub, download):
    hub.fail("HEAD", faults.header("X-Repo-Commit", None), times=None)
    with pytest.raises(EnvironmentError):
        download("README.md")


def test_many_clients_and_an_end_with_held_connections():
    hub = LocalHub()
    hub.add("dataset", REPO, FILES)
    with ThreadPoolExecutor(16) as pool:
        assert all(answer.content == LARGE for answer in pool.map(lambda _: get(hub), range(64)))
        hub.fail("README.md", faults.hang(), times=None)
        held = [pool.submit(get, hub, "README.md", timeout=60) for _ in range(8)]
        while len(hub.requests) < 64 * 2 + 8:
            time.sleep(0.01)
        started = time.monotonic()
        hub.close()
        assert all(isinstance(future.exception(), httpx2.TransportError) for future in held)
        assert time.monotonic() - started < 2


def test_a_failure_of_the_hub_itself_is_not_hidden():
    hub = LocalHub()
    hub.add("dataset", REPO, FILES)
    hub.fail("/resolve/", lambda request, reply: 1 / 0)
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub, "README.md")
    with pytest.raises(RuntimeError, match="local hub failed"):
        hub.close()
