"""Sets from the hub: every row is read and counted, the sample is the seed's and nobody else's, and it can be trained on."""

import gzip
import shutil
import tracemalloc

import pytest
import xxhash
from transformers import PreTrainedTokenizerFast

from sft_rows import QUESTION, array, fetched, jsonl, parquet
from trellis.chat import template
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.lock import Lock
from trellis.experiment.sft import SftHubSet
from trellis.manifest import Manifest
from trellis.records import read_records
from trellis.sft import rows as set_rows
from trellis.sft import sets
from trellis.sft.sets import convert, sample

CONFIG = {
    "schema_examples": 24,
    "text_share": 0.5,
    "max_length": 400,
    "seed": 42,
    "template": "plain",
    "decontamination": {},
    "distance": {},
}
REPO = "datasets/harbour/talks"


def talk(number, words=3):
    return {
        "messages": [
            {"role": "user", "content": f"Question {number}?"},
            {"role": "assistant", "content": " ".join(["so"] * words)},
        ]
    }


@pytest.fixture
def draw(tmp_path):
    """Samples files: the examples and the metrics; a token is a character."""

    def made(files, examples, seed=42, max_length=10**9, converter="messages"):
        shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
        made = Manifest.read(fetched(tmp_path / "fetched", REPO, files))
        chosen = SftHubSet(repo="harbour/talks", files=["*"], converter=converter, examples=examples)
        converted = convert(chosen, made, seed, tmp_path / "scratch", lambda example: None)
        return sample(converted, max_length, characters, {})

    return made


def characters(messages):
    return sum(len(message["content"]) for message in messages)


@pytest.fixture
def talks(tmp_path):
    return fetched(tmp_path / "talks", REPO, files_of(40))


@pytest.fixture
def make_data(make_spec, schemas, tokenizer, tmp_path):
    """make_data((folder of a fetched set, examples), ...): the manifest and the examples."""

    def made(*chosen, name="data", **changes):
        each = {"repo": "harbour/talks", "files": ["*"], "converter": "messages"}
        hub = [SftHubSet(**each, examples=examples) for _, examples in chosen]
        inputs = {"schemas": [schemas], "tokenizer": [tokenizer]}
        inputs |= {"sets": [folder for folder, _ in chosen]} if chosen else {}
        manifest = execute(make_spec("sft", "data", name, CONFIG | {"hub": hub} | changes, inputs), tmp_path / name)
        return manifest, list(read_records(manifest.path("train.jsonl")))

    return made


def files_of(count):
    rows = [talk(number) for number in range(count)]
    return {"b.jsonl": jsonl(rows[: count // 2]), "a/c.parquet": parquet(rows[count // 2 :])}


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "path, content",
    [
        ("a/b.parquet", parquet),
        ("b.json", array),
        ("b.json", jsonl),
        ("b.jsonl", jsonl),
        ("b.jsonl", lambda rows: b"\xef\xbb\xbf" + jsonl(rows) + b"\n"),
        ("b.json.gz", lambda rows: gzip.compress(array(rows))),
        ("b.jsonl.gz", lambda rows: gzip.compress(jsonl(rows))),
    ],
)
def test_every_format_gives_the_same_conversations(draw, path, content):
    rows = [talk(number) for number in range(10)]
    examples, metrics = draw({path: content(rows)}, 10)
    assert metrics["rows"] == metrics["converted"] == metrics["examples"] == 10
    found = {example["id"]: example["messages"] for example in examples}
    assert found == {f"{REPO}/{path}:{number}": row["messages"] for number, row in enumerate(rows, 1)}


UNREADABLE = {
    "lines": ("jsonl", jsonl([talk(1)]) + b'{"messages": \n\n[]\n3\n\xff\n' + jsonl([talk(2)]), 2, {"malformed": 4}),
    "a-deep-line": ("jsonl", b'{"a":' * 3000 + b"\n" + jsonl([talk(1)]), 1, {"malformed": 1}),
    "a-long-line": ("jsonl", jsonl([talk(1), talk(2, 9000), talk(3)]), 2, {"too_large": 1}),
    "items": ("json", array([talk(1), 3, None, talk(2)]), 2, {"malformed": 2}),
    "a-cut-array": ("json", array([talk(1), talk(2)])[:-9], 1, {"malformed": 1}),
    "a-deep-array": ("json", b"[" * 5000, 0, {"malformed": 1}),
    "a-long-array": ("json", array([talk(1)] * 999), 0, {"too_large": 1}),
    "no-utf8": ("json", b'["\xff"]', 0, {"corrupt": 1}),
    "cut-gzip": ("jsonl.gz", gzip.compress(jsonl([talk(1)]))[:-4], 1, {"corrupt": 1}),
    "no-gzip": ("jsonl.gz", jsonl([talk(1)]), 0, {"corrupt": 1}),
    "cut-parquet": ("parquet", parquet([talk(1)])[:-9], 0, {"corrupt": 1}),
    "null": ("parquet", parquet([{"messages": None}, talk(1)]), 1, {"malformed": 1}),
    "other-columns": ("parquet", parquet([{"text": "Another set."}]), 0, {"malformed": 1}),
    "a-long-talk": ("parquet", parquet([talk(1), talk(2, 600)]), 1, {"too_large": 1}),
}


@pytest.mark.parametrize("suffix, content, good, reasons", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_counted_and_the_rest_is_used(draw, monkeypatch, suffix, content, good, reasons):
    monkeypatch.setattr(set_rows, "MAX_LINE", 20_000)
    monkeypatch.setattr(set_rows, "MAX_ARRAY", 50_000)
    monkeypatch.setattr(sets, "MAX_CONVERSATION", 1500)
    _, metrics = draw({f"a.{suffix}": content, "z.jsonl": jsonl([talk(0)])}, good + 1)
    assert metrics["converted"] == good + 1
    assert metrics["set_aside"] == reasons
    assert metrics["rows"] == metrics["converted"] + sum(reasons.values())


def test_every_row_that_is_set_aside_is_listed_with_its_place_and_reason(make_data, tmp_path):
    lines = [talk(1), {"messages": []}, talk(2), {"messages": None}, talk(3)]
    files = {"b.jsonl": jsonl(lines) + b"{\n", "a/c.parquet": parquet([{"messages": None}, talk(4)])}
    more = [{"messages": [{"role": "captain", "content": "Ahoy."}]}, talk(5)]
    talks, others = (
        fetched(tmp_path / "talks", REPO, files),
        fetched(tmp_path / "others", f"{REPO}-2", {"a.json": array(more)}),
    )
    made, examples = make_data((others, 1), (talks, 4))
    listed = list(read_records(made.path("set_aside.jsonl")))
    assert listed == [
        {"id": f"{REPO}-2/a.json:1", "reason": "other_role"},
        {"id": f"{REPO}/a/c.parquet:1", "reason": "malformed"},
        {"id": f"{REPO}/b.jsonl:2", "reason": "empty"},
        {"id": f"{REPO}/b.jsonl:4", "reason": "malformed"},
        {"id": f"{REPO}/b.jsonl:6", "reason": "malformed"},
    ]
    assert made.metrics["sets"][REPO]["set_aside"] == {"empty": 1, "malformed": 3}
    assert {file.path: file.rows for file in made.files}["set_aside.jsonl"] == 5
    assert not {row["id"] for row in listed} & {example["id"] for example in examples}


def test_a_full_disk_is_not_taken_for_a_damaged_file(draw, monkeypatch):
    def full(paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(set_rows, "read_rows", full)
    with pytest.raises(OSError, match="No space left"):
        draw({"a.parquet": b""}, 1)


def test_a_file_in_another_format_is_named(draw):
    with pytest.raises(TrellisError, match=r"talks/README\.md is none of \.parquet"):
        draw({"README.md": b"# Talks", "a.jsonl": jsonl([talk(1)])}, 1)


# ---------------------------------------------------------------- the sample


def test_the_sample_is_the_first_by_a_hash_of_seed_and_id(draw):
    everything, _ = draw(files_of(200), 200)
    ids = sorted(
        (example["id"] for example in everything), key=lambda each: xxhash.xxh3_64_intdigest(each.encode(), 42)
    )
    small, large = (draw(files_of(200), count)[0] for count in (20, 90))
    assert [example["id"] for example in large] == ids[:90]
    assert large[:20] == small
    assert 30 < sum("/a/c.parquet:" in each for each in ids[:90]) < 60, "not the head of a listing"
    assert draw(files_of(200), 20, seed=43)[0] != small


def test_examples_that_are_too_long_are_passed_over(draw):
    rows = [talk(number, words=3 if number % 3 else 500) for number in range(60)]
    examples, metrics = draw({"a.jsonl": jsonl(rows)}, 40, max_length=99)
    assert len(examples) == metrics["examples"] == 40 and metrics["too_long"] > 5
    assert metrics["tokens"] == sum(len(each["content"]) for example in examples for each in example["messages"])
    assert max(len(example["messages"][1]["content"]) for example in examples) < 99


def test_too_few_usable_rows_are_an_error_with_figures(draw):
    rows = [talk(1), talk(2, 500), {"messages": []}, {"messages": None}, talk(3)]
    with pytest.raises(TrellisError) as error:
        draw({"a.jsonl": jsonl(rows)}, 3, max_length=99)
    assert str(error.value) == (
        "sft.mixes: harbour/talks: 3 examples are asked for, and 2 of 5 rows can be used "
        "(set aside: 1 empty, 1 malformed, 1 too_long); write examples: 2, or name more files"
    )
    with pytest.raises(TrellisError, match=r"0 of 5 rows .*5 malformed\); correct its files and converter"):
        draw({"a.jsonl": jsonl(rows)}, 3, converter="toolace")


def test_a_large_set_is_never_in_memory(draw):
    files = {"a.jsonl": b"".join(jsonl([talk(number, words=9000)]) for number in range(800))}
    tracemalloc.start()
    draw(files, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(files["a.jsonl"]) > 20e6 and peak < 3e6


def test_a_file_of_the_set_can_be_left_out_by_patterns():
    names = ("func-calling", "func-calling-singleturn", "glaive-function-calling-5k", "json-mode-agentic")
    pinned = {f"{name}.json": {"bytes": 1, "sha256": "0" * 64} for name in names}
    repo = {"revision": "0" * 40, "licence": "Apache-2.0", "files": pinned}
    lock = Lock.model_validate({"repos": {"datasets/NousResearch/hermes-function-calling-v1": repo}})
    patterns = ["func-calling*.json", "json-mode-*.json"]
    chosen = lock.repo_files("datasets/NousResearch/hermes-function-calling-v1", patterns)
    assert list(chosen.files) == ["func-calling-singleturn.json", "func-calling.json", "json-mode-agentic.json"]


# ---------------------------------------------------------------- the stage


def test_sets_stand_behind_the_schema_examples_which_stay_as_they_are(make_data, talks):
    alone, examples = make_data(name="alone")
    both, mixed = make_data((talks, 15))
    assert alone.metrics["sets"] == {} and alone.metrics["examples"] == len(examples) == 24
    assert mixed[:24] == examples
    assert len(mixed) == both.metrics["examples"] == 39
    assert all(example["schema_id"] is None and example["id"].startswith(f"{REPO}/") for example in mixed[24:])
    assert len({example["id"] for example in mixed}) == 39
    found = both.metrics["sets"][REPO]
    assert found["rows"] == 40 and found["examples"] == 15
    assert both.metrics["tokens"] == alone.metrics["tokens"] + found["tokens"]
    assert both.metrics["assistant_characters"] == alone.metrics["assistant_characters"] + 15 * len("so so so")
    assert not (both.folder / "work").exists()


def test_tokens_are_the_tokenizers_and_the_limit_is_in_them(make_data, tokenizer, tmp_path):
    tok = PreTrainedTokenizerFast.from_pretrained(tokenizer / "tokenizer", chat_template=template("plain"))
    rows = [talk(number, words=number) for number in range(1, 41)]
    manifest, examples = make_data((fetched(tmp_path / "talks", REPO, {"a.jsonl": jsonl(rows)}), 10), max_length=90)
    lengths = [len(tok.apply_chat_template(example["messages"], return_dict=False)) for example in examples[24:]]
    assert sum(lengths) == manifest.metrics["sets"][REPO]["tokens"]
    assert max(lengths) <= 90 and manifest.metrics["too_long"] == manifest.metrics["sets"][REPO]["too_long"] > 0


def test_the_same_spec_gives_the_same_bytes_again_after_an_interruption(make_data, talks, tmp_path):
    one, _ = make_data((talks, 15), name="one")
    (tmp_path / "two/work").mkdir(parents=True)
    (tmp_path / "two/work/0.jsonl").write_text("what a killed run left, much longer than the set itself" * 999)
    two, _ = make_data((talks, 15), name="two")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    assert one.metrics == two.metrics


@pytest.mark.parametrize("remove", [True, False])
def test_a_conversation_that_gives_an_evaluation_text_away_is_listed_and_left_out(make_data, tmp_path, remove):
    rows = [talk(number) for number in range(19)]
    rows.append({"messages": [{"role": "user", "content": f"Well: {QUESTION}"}, {"role": "assistant", "content": "6"}]})
    folder = fetched(tmp_path / "leaky", REPO, {"b.jsonl": jsonl(rows)})
    made, examples = make_data((folder, 19 if remove else 20), decontamination={"remove": remove})
    assert any(QUESTION in turn["content"] for example in examples for turn in example["messages"]) != remove
    assert made.metrics["contaminated"] == {"bfcl": 1}
    assert list(read_records(made.path("contaminated.jsonl"))) == [
        {"id": f"{REPO}/b.jsonl:20", "gives_away": "question-1", "suite": "bfcl", "how": "words"}
    ]
