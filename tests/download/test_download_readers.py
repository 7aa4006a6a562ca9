"""Each reader on a few rows of our own in the shape of the real data: what the document looks like, what is left out."""

import gzip
import json
import zipfile

import pytest

from trellis.download.archive import Archive
from trellis.download.ingest import reader_named


@pytest.fixture
def read(tmp_path):
    """read(reader, {member: bytes}) gives (the documents, the rejections)."""

    def run(reader, members):
        with zipfile.ZipFile(tmp_path / "w.whl", "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        with Archive(tmp_path / "w.whl", list(members)) as opened:
            return list(reader_named(reader).read(opened)), dict(opened.rejected)

    return run


def jsonl(*rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_schelling_point_takes_originals_and_copies_point_to_them(read):
    rows = [{str(key): f"variant {key} of passage {row}" for key in range(11)} for row in range(200)]
    originals, _ = read("schelling_point", {"p.jsonl": jsonl(*rows)})
    assert [raw.text for raw in originals] == [row["0"] for row in rows]
    copies, _ = read("schelling_point_copies", {"p.jsonl": jsonl(*rows)})
    assert 10 <= len(copies) <= 30
    by_id = {raw.native_id: raw.text for raw in originals}
    for raw in copies:
        assert raw.text == by_id[raw.meta["copy_of"]].replace("variant 0", "variant 1")
    assert not {raw.native_id for raw in copies} & set(by_id)


def test_codeio_keeps_the_scores_that_a_row_has(read):
    scores = {"educational": 7, "clarity": 8, "practice": 6, "difficulty": 8}
    row = {"task_description": "Add two numbers. " * 12, "code_sample": "def main(a, b):\n    return a + b"}
    scored = {**row, **scores, "safety": 5, "input_generator": "rng", "unique_inputs": 3}
    documents, rejected = read(
        "codeio",
        {"c.jsonl.gz": gzip.compress(jsonl(scored, row, {**row, "educational": "7"}, {**row, "clarity": 7.5}))},
    )
    assert [raw.meta for raw in documents] == [scores, {}]
    assert rejected == {"malformed": 2}  # a score is an integer or it is nothing
    head, program = documents[0].text.split("\n\n")
    assert program == row["code_sample"]
    assert all(line.startswith("# ") and len(line) <= 100 for line in head.splitlines())


def test_docstrings_are_read_and_nothing_is_run(read, tmp_path):
    evidence, long = tmp_path / "ran", "A statement with its proof. " * 20
    code = f'''"""{long}"""
open({str(evidence)!r}, "w")
raise SystemExit

class Group:
    """{long}"""

    if True:
        @property
        def order(self):
            """{long}"""

            def inner():
                """{long}"""

    def short(self):
        """Too short to stand alone."""

text = """{long}"""
'''
    documents, rejected = read("docstrings", {"lib/group.py": code, "lib/broken.py": f'def (:\n"""{long}"""'})
    assert [raw.meta["name"] for raw in documents] == [
        "lib.group",
        "lib.group.Group",
        "lib.group.Group.order",
        "lib.group.Group.order.inner",
    ]
    assert documents[1].text == f"lib.group.Group\n\n{long}"
    assert rejected == {"malformed": 1} and not evidence.exists()


def test_abstracts_stand_under_their_title_and_claims_under_their_question(read):
    def sample(content, ideal):
        return {
            "input": [{"role": "system", "content": "Do it."}, {"role": "user", "content": content}],
            "ideal": ideal,
        }

    claims = "claim: It grows.\nclaim: It does not shrink.\nquestion: Does it grow?"
    documents, _ = read(
        "abstracts",
        {
            "s.jsonl": jsonl(
                sample("We study it.", "A study"), sample(claims, "Summary: Yes."), sample(claims, "Summary: N-A")
            )
        },
    )
    assert [raw.text for raw in documents] == [
        "# A study\n\nWe study it.",
        "# Does it grow?\n\n- It grows.\n- It does not shrink.\n\nSummary: Yes.",
        "# Does it grow?\n\n- It grows.\n- It does not shrink.",
    ]


def test_text_compression_gives_each_type_its_licence_and_no_other_type(read):
    documents, rejected = read(
        "text_compression",
        {
            "t.jsonl": jsonl(
                {"text": "a", "type": "c4"},
                {"text": "b", "type": "PiC/phrase_similarity"},
                {"text": "c", "type": "RandomWordsDataset"},
            )
        },
    )
    assert [(raw.text, raw.meta["type"], raw.licence) for raw in documents] == [
        ("a", "c4", "ODC-BY-1.0"),
        ("c", "RandomWordsDataset", "MIT"),
    ]
    assert rejected == {"not_allowed": 1}


def test_wiki_summaries_hold_valid_json_between_title_and_text(read):
    article = {"title": 'The "X"', "extract": "X is a letter.", "description": "Letter", "topic": "Arts"}
    (raw,), _ = read("wiki_summaries", {"w.json": json.dumps({'The "X"': article})})
    title, description, infobox, extract = raw.text.split("\n\n")
    assert (title, description, extract) == ('# The "X"', "Letter", "X is a letter.")
    assert json.loads(infobox) == {"title": 'The "X"', "description": "Letter"}
    assert "Arts" not in raw.text
    assert raw.meta == {"topic": "Arts"}


def test_factbook_splits_short_fields_from_prose_and_drops_html(read):
    prose = "The country lies in the hills, and its rivers run north. " * 5
    record = {
        "Introduction": {"Background": {"text": f"<p>{prose}<br><br><em>Since&nbsp;then</em> it has prospered.</p>"}},
        "Geography": {
            "Area": {
                "total ": {"text": "100 sq km"},
                "land": {"text": "90 sq&nbsp;km"},
                "note": "<b>note:</b> rounded",
            },
            "Coastline": {"text": ""},
        },
        "Government": {
            "Country name": {
                "conventional short form": {"text": "none"},
                "conventional long form": {"text": "Lower Hills"},
            }
        },
    }
    documents, rejected = read(
        "factbook", {"d/lh.json": json.dumps(record), "d/no.json": json.dumps({"Geography": {}})}
    )
    assert rejected == {"unnamed": 1}
    introduction, geography, _ = documents
    assert introduction.text == (
        f"# Lower Hills: Introduction\n\nBackground: {prose.strip()}\nSince then it has prospered."
    )
    heading, infobox = geography.text.split("\n\n")
    assert heading == "# Lower Hills: Geography"
    assert json.loads(infobox) == {"Area: total": "100 sq km", "Area: land": "90 sq km", "Area: note": "note: rounded"}
    assert geography.meta == {"country": "Lower Hills", "section": "Geography"}


RST = b"""**Example 1: To list the things**

The following ``list-things`` example lists things. ::

    aws thing list-things \\
        --kind small

Output::

    {
        "Things": [

            {"Id": 1}
        ]
    }

For more information, see `Things <https://example.org/things>`__ in the *Guide*.

**Example 2: To delete a thing**

See `the list <https://example.org/list>`__ first. ::

  aws thing delete-thing --id 1

This command produces no output.

**Example 3: To show a thing**

Command::

  aws thing show-thing --id 1

Output::

  {"Id": 1, "Name": ...}
"""


def test_cli_examples_keep_only_those_with_a_json_answer(read):
    documents, rejected = read(
        "cli_examples", {"x/examples/thing/list.rst": RST, "x/examples/thing/old.rst": b"No title."}
    )
    (raw,) = documents
    assert rejected == {"no_json_output": 2, "malformed": 1}
    assert raw.text == (
        "# To list the things\n\nThe following `list-things` example lists things.\n\n"
        "```\naws thing list-things \\\n    --kind small\n```\n\nOutput:\n\n"
        '```json\n{\n    "Things": [\n\n        {"Id": 1}\n    ]\n}\n```'
    )
    assert raw.meta == {"command": "thing/list"}


def test_dialogues_take_the_allowed_task_types_and_drop_the_graders_format(read):
    def instruction(kind):
        return {
            "task_type": kind,
            "task_prompt": "Write.",
            "task_output": "Written.",
            "payload_text": "vicgalle/alpaca-gpt4",
        }

    parable = {
        "input": [
            {"role": "system", "content": "Pick."},
            {"role": "user", "content": 'A fox.\nWhich?\nA) This.\nThe output should look like "X".'},
        ],
        "ideal": ["The final answer is: A"],
    }
    documents, rejected = read(
        "dialogues",
        {
            "s.jsonl": jsonl(
                instruction("akoksal/LongForm"),
                instruction("lighteval/mmlu"),
                instruction("vicgalle/alpaca-gpt4"),
                parable,
            )
        },
    )
    assert rejected == {"not_allowed": 2}
    assert [raw.text for raw in documents] == [
        "User: Write.\n\nAssistant: Written.",
        "User: A fox.\nWhich?\nA) This.\n\nAssistant: The final answer is: A",
    ]
