"""Formats that fine-tuning must not show: who names one is left out and counted; tags of calls and words alike are not."""

import json
from typing import get_args

import pytest

from publishing import publish
from sft_rows import OPENAI, SAID, convert, fetched, jsonl, spoken
from trellis.command import execute
from trellis.experiment.evaluation import FormatSuite
from trellis.experiment.sft import SftHubSet
from trellis.records import read_records
from trellis.sft.formats import names_format
from trellis.tool_calls import system_turn

REPO = "datasets/harbour/talks"
CONFIG = {
    "schema_examples": 24, "text_share": 0.5, "max_length": 400, "seed": 42, "template": "plain",
    "decontamination": {}, "distance": {},
}  # fmt: skip


def said(*contents):
    roles = ("user", "assistant", "user", "assistant")
    return {"messages": [{"role": role, "content": each} for role, each in zip(roles, contents, strict=False)]}


NAMING = {
    "asked-for": said("Write YAML for a boat.", "hull: oak"),
    "in-lower-case": said("Tide?", "As xml: <tide>noon</tide>"),
    "in-a-later-question": said("Tide?", "Noon.", "As TOML, please.", 'tide = "noon"'),
    "several": said("What are CSVs?", "Tables."),
    "a-file": said("Read boats.csv.", "I cannot."),
    "a-fence": said("Tide?", "```yaml\ntide: noon\n```"),
    "a-short-fence": said("Tide?", "So:\n\n~~~ yml\ntide: noon\n~~~"),
    "a-declaration": said("Tide?", '<?xml version="1.0"?><tide/>'),
    "by-the-system": {"messages": [{"role": "system", "content": "Answer in XML."}, *said("?", "<a/>")["messages"]]},
}
OTHERS = {
    "json": said("Write JSON.", '```json\n{"tide": "noon"}\n```'),
    "tags": said("Use <tool_call></tool_call> tags.", "<b>Noon</b>"),
    "parts-of-words": said("Who was Tomlinson?", "See xmlns and read_csv."),
    "a-tool": {
        "messages": [system_turn([{"name": "export", "description": "Writes CSV."}]), *said("?", "[]")["messages"]]
    },
    "a-plain-fence": said("Tide?", "```\nnoon\n```"),
}


@pytest.mark.parametrize("row", NAMING.values(), ids=NAMING)
def test_a_conversation_that_names_a_format_is_recognised(row):
    assert names_format(row)


@pytest.mark.parametrize("row", OTHERS.values(), ids=OTHERS)
def test_other_conversations_are_not(row):
    assert not names_format(row)


def test_every_format_that_a_suite_can_ask_for_is_known():
    (formats,) = get_args(FormatSuite.model_fields["formats"].annotation)
    assert get_args(formats) and all(
        names_format(said(f"Write this JSON as {form}:", "")) for form in get_args(formats)
    )


def test_the_tags_that_hermes_explains_as_xml_do_not_count():
    """The published prompts say it of every row; the converter leaves these words out."""
    system = f"You are given functions within <tools></tools> XML tags. {SAID.format(OPENAI)}"
    calls = '<tool_call>{"name": "tide", "arguments": {"port": "Brest"}}</tool_call>'
    turns = [("system", system), ("human", "Tide at Brest?"), ("gpt", calls)]
    messages = convert("hermes", {"conversations": [{"from": role, "value": value} for role, value in turns]})
    assert spoken(messages)[0] == ("user", "Tide at Brest?")
    assert not names_format({"messages": messages})


@pytest.mark.parametrize("remove", [True, False])
def test_sets_are_sampled_without_them_and_they_are_counted(make_spec, schemas, tokenizer, tmp_path, remove):
    rows = [*NAMING.values(), *OTHERS.values()]
    folder = fetched(tmp_path / "talks", REPO, {"a.jsonl": jsonl(rows)})
    hub = [SftHubSet(repo="harbour/talks", files=["*"], converter="messages", examples=len(OTHERS))]
    config = CONFIG | {"hub": hub, "decontamination": {"remove": remove}}
    inputs = {"schemas": [schemas], "tokenizer": [tokenizer], "sets": [folder]}
    made = execute(make_spec("sft", "data", "data", config, inputs), tmp_path / "data")
    taken = {row["id"]: row["messages"] for row in read_records(made.path("train.jsonl")) if row["schema_id"] is None}
    first = len(NAMING) + 1
    assert taken == {f"{REPO}/a.jsonl:{n}": row["messages"] for n, row in enumerate(OTHERS.values(), first)}
    # Which of the others were drawn before the sample was full is the seed's: it is full with the last one that can be used.
    assert 0 < made.metrics["format"] == made.metrics["sets"][REPO]["format"] <= len(NAMING)
    assert made.metrics["sets"][REPO]["set_aside"] == {} and made.metrics["similar"] == 0


def test_a_schemas_property_is_no_format(make_spec, schemas, tokenizer, tmp_path):
    """The schema examples are JSON: none of a training schema's may go because a property is called `csv`."""
    lines = (schemas / "training.jsonl").read_text()
    assert '"t0"' in lines
    folder = tmp_path / "renamed"
    folder.mkdir()
    (folder / "training.jsonl").write_text(lines.replace('"t0"', '"csv"'))
    (folder / "reference.jsonl").write_text((schemas / "reference.jsonl").read_text())
    inputs = {"schemas": [publish(folder)], "tokenizer": [tokenizer]}
    made = execute(make_spec("sft", "data", "data", CONFIG | {"hub": []}, inputs), tmp_path / "data")
    assert '"csv\\"' in json.dumps([row["messages"] for row in read_records(made.path("train.jsonl"))])
    assert made.metrics["examples"] == 24 and made.metrics["format"] == 0
