"""Labels out of files: a run replayed without its model, labels written by people, and files that do not fit."""

import json

import pyarrow.parquet as pq
import pytest

from openai_server import OpenAIServer, Reply
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.classify import Labels
from trellis.manifest import file_sha256

ALL = ("topics", "complexity", "code_quality", "structured_data", "content_type")


@pytest.fixture
def labelled(make_spec, tokenizer_wheel, documents, label_config, tmp_path):
    """labelled(name, rubrics, window, **labels) -> the manifest of a labelling of 80 documents."""
    texts = {str(number): f"text {number} " + "on the theorem and the patient " * 9 for number in range(80)}
    source = documents(tmp_path / "documents", "prose", texts, {})

    def run(name, rubrics=ALL, window=40, sample=80, pin=file_sha256, **labels):
        config = {**label_config(sample, rubrics, **labels), "window": window}
        read = Labels.model_validate(config["labels"]).files
        config["local"] = {file: {"bytes": 1, "sha256": pin(tmp_path / file)} for file in read}
        inputs = {"documents": [source], "encoder": [tokenizer_wheel]}
        return execute(make_spec("classify", "label", "labels", config, inputs), tmp_path / name)

    return run


def rows_of(made):
    return pq.read_table(made.path("labels.parquet")).to_pylist()


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_models_labels_are_replayed_from_its_table(labelled, openai_backend):
    def script(call):
        return Reply("no JSON" if call.rubric == "topics" and " 7 " in f" {call.text} " else call.fitting())

    with OpenAIServer(script) as server:
        first = labelled("first", backend=openai_backend(server))
    again = labelled("again", backend={"kind": "replay", "file": str(first.path("labels.parquet"))})
    for before, after in zip(rows_of(first), rows_of(again), strict=True):
        for rubric in ALL:
            assert before[rubric] == after[rubric]
            is_null = before[rubric] is None
            assert after[f"{rubric}_origin"] == (None if is_null else "replay")
            assert after[f"{rubric}_reason"] == ("missing" if is_null else None)
    assert again.metrics["rubrics"]["topics"]["nulls"] == {"missing": 1}
    assert again.metrics["rubrics"]["complexity"]["nulls"] == {}
    assert again.metrics["backend"]["kind"] == "replay"


def test_a_label_does_not_hold_for_another_window_or_document(labelled):
    first = labelled("first", ["complexity"], sample=60)
    replay = {"kind": "replay", "file": str(first.path("labels.parquet"))}
    with pytest.raises(TrellisError, match=r"20 of 80 documents have no label .*complexity \(missing 20\)"):
        labelled("more", ["complexity"], backend=replay)
    with pytest.raises(TrellisError, match=r"\(missing 20, other_window 60\)"):
        labelled("wider", ["complexity"], window=30, backend=replay)
    with pytest.raises(TrellisError, match="holds no labels of the rubric topics"):
        labelled("other", ["topics"], backend=replay)


def test_people_write_words(labelled, tmp_path):
    rows = rows_of(labelled("first"))
    written = [
        {
            "doc_id": row["doc_id"],
            "window": row["window"],
            "topics": ["medicine_health"],
            "complexity": 1 + place % 5,
            "code_quality": 3,
            "structured_data": 0,
            "content_type": "tutorial",
        }
        for place, row in enumerate(rows)
    ]
    replay = {"kind": "replay", "file": write_lines(tmp_path / "people.jsonl", written)}
    made = labelled("people", backend=replay)
    assert made.metrics["rubrics"]["content_type"]["classes"]["tutorial"] == 80
    assert made.metrics["rubrics"]["topics"]["classes"]["medicine_health"] == 80
    assert [row["complexity"] for row in rows_of(made)] == [row["complexity"] for row in written]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("no JSON", "people.jsonl:1: no JSON object with the numbers doc_id and window"),
        ('{"doc_id": 1, "complexity": 2}', "people.jsonl:1: no JSON object"),
        ('{"doc_id": 1, "window": 2, "complexity": 9}', "row 1: 9 is no answer to the rubric complexity"),
        ('{"doc_id": 1, "window": 2, "complexity": "3"}', "row 1: '3' is no answer"),
        ('{"doc_id": 1, "window": 2, "complexity": true}', "row 1: True is no answer"),
        ('{"doc_id": 1, "window": 2, "topics": ["chess"]}', r"row 1: \['chess'\] is no answer to the rubric topics"),
        ('{"doc_id": 1, "window": 2, "topics": [["x"]]}', "is no answer to the rubric topics"),
        ('{"doc_id": 1, "window": 2, "content_type": "novel"}', "row 1: 'novel' is no answer"),
        ('{"doc_id": 1, "window": 2, "content_type": ["test"]}', "is no answer to the rubric content_type"),
    ],
)
def test_what_is_no_answer_is_named_with_its_row(labelled, tmp_path, line, sentence):
    (tmp_path / "people.jsonl").write_text(line + "\n")
    with pytest.raises(TrellisError, match=sentence):
        labelled("bad", backend={"kind": "replay", "file": str(tmp_path / "people.jsonl")})


def test_a_table_of_another_scale_is_refused(labelled, tmp_path):
    first = labelled("first", ["topics"])
    table = pq.read_table(first.path("labels.parquet"))
    field = table.schema.field("topics")
    names = json.loads(field.metadata[b"names"])
    swapped = field.with_metadata({"names": json.dumps(names[::-1])})
    schema = table.schema.set(table.schema.get_field_index("topics"), swapped)
    pq.write_table(table.cast(schema), tmp_path / "swapped.parquet")
    with pytest.raises(TrellisError, match="its labels of topics are on another scale"):
        labelled("swapped", ["topics"], backend={"kind": "replay", "file": str(tmp_path / "swapped.parquet")})


def test_a_file_that_is_not_the_locked_one_is_not_read(labelled, tmp_path):
    file = write_lines(tmp_path / "people.jsonl", [{"doc_id": 1, "window": 1, "complexity": 1}])
    replay = {"kind": "replay", "file": file}
    with pytest.raises(TrellisError, match="people.jsonl has changed since it was locked"):
        labelled("changed", ["complexity"], pin=lambda path: "0" * 64, backend=replay)
    with pytest.raises(TrellisError, match=r"the file .*nowhere.jsonl is not there"):
        missing = {"kind": "replay", "file": str(tmp_path / "nowhere.jsonl")}
        labelled("missing", ["complexity"], pin=lambda path: "0" * 64, backend=missing)
