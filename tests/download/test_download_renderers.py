"""What each renderer makes of a row with the real columns, and of rows with anything in them."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
import time
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sharding import jsonl, order_shard, parquet, run_bare, run_shard

from hub_repos import repositories
from hub_repos.files import SHORT
from trellis.address import code_digest
from trellis.download.archive import Raw
from trellis.download.markup import text_of
from trellis.experiment.sources import Reader, Renderer

RENDERERS = get_args(Renderer)
FILE = "datasets/owner/name/python/train-0.parquet:7"


def rendered(reader, row, native_id=FILE):
    module = importlib.import_module(f"trellis.download.renderers.{reader}")
    return module.render(native_id, module.Shape.model_validate(row))


def test_text_column_keeps_what_is_said_of_the_text():
    row = {
        "text": "A page.",
        "id": "<urn:uuid:1>",
        "dump": "CC-MAIN-2024-18",
        "url": "https://a.example",
        "file_path": "s3://warc",
        "language": "en",
        "language_score": 0.97,
        "token_count": 2,
        "score": float("nan"),
        "int_score": 3,
    }
    meta = {"origin": "<urn:uuid:1>", "dump": "CC-MAIN-2024-18", "url": "https://a.example", "language": "en"}
    assert rendered("text_column", row) == Raw(
        FILE, "A page.", {**meta, "language_score": 0.97, "token_count": 2, "int_score": 3}
    )


def test_code_file_without_marks_and_with_its_language():
    row = {
        "max_stars_repo_path": "src/a.py",
        "max_stars_repo_name": "who/what",
        "max_stars_count": 12,
        "id": "99",
        "content": "<reponame>who/what<filename>src/a.py<gh_stars>10-100\n\nif a <b> c:\n    pass\n",
    }
    meta = {"language": "python", "repo": "who/what", "path": "src/a.py", "stars": 12, "origin": "99"}
    assert rendered("code_file", row) == Raw(FILE, "\nif a <b> c:\n    pass\n", meta)
    for content in ("<gh_stars>0\nx = 1", "<reponame>a/b\n<gh_stars>0\nx = 1", "x = 1"):
        assert rendered("code_file", {"content": content}) == Raw(FILE, "x = 1", {"language": "python"})
    inside = "x = '<filename>y'\n<reponame>z"
    assert rendered("code_file", {"content": inside}).text == inside
    assert rendered("code_file", {"content": None}).text is None


def test_notebook_without_header_and_cell_marks():
    script = """# -*- coding: utf-8 -*-
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: light
#   kernelspec:
#     name: python3
# ---

# # Fitting a line
#
# - a point
# + a plus

# + {"scrolled": true}
import numpy as np
# -

# + id="abc" colab={"base": 1}
# A comment on x.
x = 1 \\
  + 2
# -



# %% [markdown]
# The end.
"""
    expected = """# # Fitting a line
#
# - a point
# + a plus

import numpy as np

# A comment on x.
x = 1 \\
  + 2

# The end.
"""
    for content in (script, "<reponame>a/b\n" + script, script.replace("\n", "\r\n")):
        found = rendered("notebook", {"content": content, "repo_name": "a/b", "path": "n.ipynb", "licenses": []})
        assert found.text.strip() == expected.strip()
        assert found.meta == {"repo": "a/b", "path": "n.ipynb"}
    assert rendered("notebook", {"content": "x = 1\n# ---\ny = 2"}).text == "x = 1\n# ---\ny = 2"


def test_issue_reads_like_a_conversation():
    content = (
        "<issue_start><issue_comment>Title: Wrong schema\nusername_0: It fails:\n```\n{}\n```\n"
        "<issue_comment>username_12: @username_0 what is `my_username_1`?<issue_closed>"
        "<issue_comment>username_0: Fixed."
    )
    expected = (
        "# Wrong schema\n\nUser 0: It fails:\n```\n{}\n```\n\n"
        "User 12: @User 0 what is `my_username_1`?\n\nIssue closed.\n\nUser 0: Fixed."
    )
    row = {"content": content, "repo": "a/b", "issue_id": 5, "issue_number": None}
    assert rendered("issue", row) == Raw(FILE, expected, {"repo": "a/b", "origin": 5})
    # The title may stand before the first comment; without one nothing is a heading.
    assert (
        rendered("issue", {"content": "<issue_start>Title: T\n<issue_comment>username_0: x"}).text == "# T\n\nUser 0: x"
    )
    assert rendered("issue", {"content": "<issue_start>username_1: x\nTitle: no"}).text == "User 1: x\nTitle: no"
    assert rendered("issue", {"content": "<issue_start><issue_comment>"}).text == ""


def part(kind, value=None, parts=None, **rest):
    return {"type": kind, "value": value, "has_parts": parts, "links": [{"url": "u", "text": "t"}], **rest}


def field(name, value=None, **rest):
    return part("field", value, name=name, **rest)


ARTICLE = {
    "name": "Quito",
    "identifier": 42,
    "url": "https://en.wikipedia.example/Quito",
    "description": "Capital of Ecuador",
    "abstract": "Quito is a city.  It lies high.",
    "infoboxes": [
        part(
            "infobox",
            name="Infobox settlement",
            parts=[
                field("Country", "Ecuador"),
                field("Quechua", "Kitu, ñ"),
                part(
                    "section",
                    name="Area",
                    parts=[
                        field("City", "372 km²"),
                        field("Metro", "4,218 km²"),
                        part("section", name="Deep", parts=[field("Urban", "190 km²")]),
                    ],
                ),
                part("section", name="", parts=[field("Mayor", "One"), part("image")]),
                field("Mayor", "Two"),
                field("Mayor", values=["Three", " ", "Four"]),
                field("Leader", "Five", parts=[field("Since", "2023")]),
                field("", "nameless"),
                field("Empty", " "),
            ],
        ),
        part("infobox", name="Empty", parts=[]),
    ],
    "sections": [
        part(
            "section",
            name="Abstract",
            parts=[part("paragraph", "Quito is a city."), part("paragraph", "It lies high.")],
        ),
        part(
            "section",
            name="History",
            parts=[
                part("image"),
                part("paragraph", "Old."),
                part(
                    "list",
                    parts=[
                        part("list_item", "one"),
                        part("list_item", "two", parts=[part("ordered_list", parts=[part("list_item", "below")])]),
                    ],
                ),
                part("section", name="Recent", parts=[part("paragraph", "New.")]),
                part("section", name="Pictures", parts=[part("gallery")]),
            ],
        ),
        part("section", name="Footnotes", parts=[]),
    ],
}
INFOBOX = {
    "Country": "Ecuador",
    "Quechua": "Kitu, ñ",
    "Area": {"City": "372 km²", "Metro": "4,218 km²", "Urban": "190 km²"},
    "Mayor": ["One", "Two", "Three", "Four"],
    "Leader": ["Five", {"Since": "2023"}],
}
ARTICLE_TEXT = [
    "# Quito",
    "Capital of Ecuador",
    f"<infobox>{json.dumps(INFOBOX, ensure_ascii=False)}</infobox>",
    "Quito is a city.",
    "It lies high.",
    "## History",
    "Old.",
    "- one\n- two\n  1. below",
    "### Recent",
    "New.",
]


def test_wiki_article_from_lists_and_from_strings_of_json():
    later = {**ARTICLE, "infoboxes": json.dumps(ARTICLE["infoboxes"]), "sections": json.dumps(ARTICLE["sections"])}
    for row in (ARTICLE, later):
        found = rendered("wiki_article", row)
        assert found.text.split("\n\n") == ARTICLE_TEXT
        assert found.meta == {"title": "Quito", "origin": 42, "url": "https://en.wikipedia.example/Quito"}


@pytest.mark.parametrize(
    ("abstract", "paragraphs", "expected"),
    [
        (
            "Quito is a city. It lies high.",
            ["Quito is a city.", "It lies high."],
            ["Quito is a city.", "It lies high."],
        ),
        ("Quito is", ["Quito is a city."], ["Quito is a city."]),
        ("Quito is a city. More.", ["Quito is a city."], ["Quito is a city. More."]),
        ("Quito is a city.", [], ["Quito is a city."]),
        ("Quito is a city.", ["A hill."], ["Quito is a city.", "A hill."]),
        (None, ["Quito is a city."], ["Quito is a city."]),
    ],
)
def test_wiki_article_says_its_abstract_once(abstract, paragraphs, expected):
    sections = [part("section", name="Abstract", parts=[part("paragraph", text) for text in paragraphs])]
    found = rendered("wiki_article", {"name": "Q", "abstract": abstract, "sections": sections})
    assert found.text.split("\n\n") == ["# Q", *expected]


def test_wiki_article_without_text_is_incomplete():
    assert rendered("wiki_article", {"name": "Q", "description": "A letter", "sections": None}) == "incomplete"


def test_text_to_sql_needs_all_three():
    row = {"schema": "CREATE TABLE t (a INT);\n", "question": " How many?", "query": "SELECT count(*) FROM t;", "n": 1}
    expected = "SCHEMA\nCREATE TABLE t (a INT);\n\nQUESTION\nHow many?\n\nSQL\nSELECT count(*) FROM t;"
    assert rendered("text_to_sql", row) == Raw(FILE, expected)
    for name in ("schema", "question", "query"):
        for missing in (None, "", " \n"):
            assert rendered("text_to_sql", {**row, name: missing}) == "incomplete"


def answer(number, score, selected=False, text="<p>Answer {}</p>"):
    return {
        "answer_id": number,
        "author": f"author {number}",
        "author_id": number,
        "author_profile": f"https://site.example/users/{number}",
        "pm_score": score,
        "selected": selected,
        "text": text.format(number),
    }


def question(*answers, **rest):
    links = ["https://site.example/questions/1", "https://site.example", "https://site.example/users/2/"]
    return {
        "qid": 1,
        "question": "<p>Why?</p>",
        "answers": list(answers),
        "date": "2020/01/01",
        "metadata": links,
        **rest,
    }


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        ([answer(5, 3), answer(6, 4), answer(7, 3, True)], 6),
        ([answer(5, 4), answer(9, 4, True), answer(6, 4)], 9),
        ([answer(8, 4), answer(5, 4), answer(6, 4)], 5),
        ([answer(8, 2), answer(5, -1)], None),
        ([], None),
    ],
)
def test_question_answer_takes_the_best_answer_and_names_its_author(answers, best):
    found = rendered("question_answer", question(*answers))
    if best is None:
        assert found == "low_score"
        return
    assert found.text == f"QUESTION\nWhy?\n\nANSWER\nAnswer {best}"
    assert found.meta == {
        "qid": 1,
        "pm_score": next(each["pm_score"] for each in answers if each["answer_id"] == best),
        "author": f"author {best}",
        "author_profile": f"https://site.example/users/{best}",
        "question_url": "https://site.example/questions/1",
        "answer_url": f"https://site.example/a/{best}",
    }


def test_question_answer_without_addresses_or_text():
    found = rendered(
        "question_answer", question(answer(5, 3), metadata=["javascript:alert(1)/questions/", None, "http://["])
    )
    assert "question_url" not in found.meta and "answer_url" not in found.meta
    assert rendered("question_answer", question(answer(5, 3, text="<p> </p>"))) == "incomplete"


HTML = [
    ("<p>One &amp; two&nbsp;&lt;3</p>\n\n<p>three\nfour</p>", "One & two\xa0<3\n\nthree four"),
    ("a<br>b<br/>\n c", "a\nb\nc"),
    ("<p>See <a href='https://x.example'>the <em>docs</em></a>, <code>a  b</code>.</p>", "See the docs, `a b`."),
    ("<pre><code>if a &lt; b:\n\n    <b>x</b> = `y`\n</code></pre>", "```\nif a < b:\n\n    x = `y`\n```"),
    ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
    ("<p>a</p><ul><li>one</li>\n<li><p>two</p>\n<p>more</p></li></ul><p>b</p>", "a\n\n- one\n- two\n\n  more\n\nb"),
    ("<ol><li>one<ul><li>in</li><li>ner</li></ul></li><li>two</li></ol>", "1. one\n\n  - in\n  - ner\n2. two"),
    ("<ol><li>code:<pre><code>x\n\ny</code></pre></li></ol>", "1. code:\n\n  ```\n  x\n\n  y\n  ```"),
    ("<blockquote><p>said</p><p>more<br>of it</p></blockquote>reply", "> said\n\n> more\n> of it\n\nreply"),
    ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n\n1 | 2"),
    ("<p title='x' CLASS=y>a<!-- <p> no --><P>b</p><!-- no end <p>", "a\n\nb"),
    ("1 < 2 <3 </ <!doctype html><?php no ?>&lt;p&gt; &#xD800;", "1 < 2 <3 </ <p> \ufffd"),
    ("x<script>alert('<p>')</script><style>p {}</style>y", "xy"),
    ("<h2>Head</h2>text <img src='a.png' alt='a plot'> end", "Head\n\ntext a plot end"),
    ("no tags at all", "no tags at all"),
    ("</p></li></ul></pre>a<li>b</blockquote><code>c<p>d", "a\n\n- b\n\n`c`\n\nd"),
    ("", ""),
]


@pytest.mark.parametrize(("html", "text"), HTML)
def test_html_becomes_text(html, text):
    assert text_of(html) == text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *[
                    "<p>",
                    "</p>",
                    "<ul>",
                    "<ol>",
                    "</ul>",
                    "<li>",
                    "</li>",
                    "<pre>",
                    "</pre>",
                    "<code>",
                    "</code>",
                    "<br>",
                ],
                *[
                    "<blockquote>",
                    "</blockquote>",
                    "<![x[",
                    "<!",
                    "]]>",
                    "<!--",
                    "<a href=",
                    "'",
                    "<td>",
                    "&#xD800;",
                    "&",
                ],
                *["<script>", "</script>", "word", "`", "\n", "<", ">"],
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_no_markup_breaks_the_reader(html):
    """Any sequence of tags, open or closed, gives text that UTF-8 can spell."""
    found = text_of(html)
    assert found == found.strip("\n") and (found.encode() or not found)


@pytest.mark.parametrize(
    "piece", ["<!--", "<![CDATA[", "<a ", "<a b='", "<", "&", "</", "<ul>", "<blockquote></ul>", "<pre>", "`"]
)
def test_no_markup_takes_long(piece):
    start = time.process_time()
    text_of(piece * 20_000)
    assert time.process_time() - start < 2


def test_deep_markup_is_read():
    assert text_of("<ul><li>" * 3000 + "deep").endswith("- deep")
    assert text_of("<blockquote>" * 3000 + "deep").endswith("> deep")


def test_messages_are_turns():
    turns = [
        {"content": " Hello\n", "role": "user"},
        {"content": None, "role": "system"},
        {"content": "Hi: you.", "role": "assistant"},
    ]
    row = {"prompt": "Hello", "prompt_id": "abc", "messages": turns}
    assert rendered("messages", row) == Raw(FILE, "USER: Hello\n\nASSISTANT: Hi: you.", {"origin": "abc"})
    for nothing in (None, [], turns[1:2]):
        assert rendered("messages", {**row, "messages": nothing}).text is None


def test_dolma_keeps_the_licence_of_each_document():
    metadata = {"license": "CC BY 4.0", "url": "https://a.example", "authors": ["x"], "author": "Who"}
    row = {"id": "d-1", "text": "Text.", "source": "news", "added": "2025", "created": "2020", "metadata": metadata}
    meta = {"origin": "d-1", "source": "news", "created": "2020", "url": "https://a.example", "author": "Who"}
    for said in (metadata, json.dumps(metadata)):
        assert rendered("dolma", {**row, "metadata": said}) == Raw(FILE, "Text.", meta, "CC BY 4.0")
    for said in (None, {}, "null"):
        assert rendered("dolma", {**row, "metadata": said}).licence is None


def test_licences_reach_the_table(tmp_path):
    rows = [{"text": "Free text.", "metadata": {"license": "CC0"}}, {"text": "Other text.", "metadata": {}}]
    _, documents = run_shard(tmp_path, {"a.jsonl": jsonl(rows)}, "dolma", licence="per document")
    assert [row["licence"] for row in documents] == ["CC0", "per document"]


def test_text_file_is_its_text():
    assert rendered("text_file", {"text": "all\nof it"}) == Raw(FILE, "all\nof it")


SOURCES = {  # repository: pattern of a file, reader, what becomes of the builder's bad rows
    "HuggingFaceFW/fineweb-edu": ("sample/100BT", "text_column", {"null_text": 1, "too_short": 2}),
    "bigcode/starcoderdata": ("sql/", "code_file", {"null_text": 1, "too_short": 1, "compressible": 1}),
    "bigcode/starcoderdata ": ("jupyter", "notebook", {"null_text": 1, "too_short": 1, "compressible": 1}),
    "bigcode/starcoderdata  ": ("github-issues", "issue", {"null_text": 1, "too_short": 1, "compressible": 1}),
    "HuggingFaceTB/finemath": ("finemath-4plus", "text_column", {"null_text": 1, "too_short": 2}),
    "wikimedia/structured-wikipedia": ("20240916.en", "wiki_article", {"incomplete": 4, "malformed": 2}),
    "trl-lab/SQaLe-text-to-SQL-dataset": ("data/", "text_to_sql", {"incomplete": 3, "too_short": 1}),
    "HuggingFaceH4/stack-exchange-preferences": (
        "data/cs.",
        "question_answer",
        {"low_score": 2, "malformed": 2, "too_short": 1},
    ),
    "wikimedia/wikipedia": ("20231101.en", "text_column", {"null_text": 1, "too_short": 2}),
    "HuggingFaceH4/ultrachat_200k": ("data/train_sft", "messages", {"null_text": 2, "too_short": 1}),
    "common-pile/comma_v0.1_training_dataset": ("arxiv_papers", "dolma", {"null_text": 1, "too_short": 2}),
}


@pytest.mark.parametrize("key", SOURCES, ids=lambda key: SOURCES[key][1] + " " + key.strip())
def test_every_source_of_the_study_renders(tmp_path, key):
    """Of a file with the hub's columns, every good row is a document, and every bad one counted under its reason."""
    prefix, reader, reasons = SOURCES[key]
    files = repositories(0.3)["dataset", key.strip()].files
    path = next(path for path in sorted(files) if path.startswith(prefix))
    metrics, _ = run_bare(tmp_path, {path: files[path]}, reader, min_chars=100, min_compression=0.1)
    assert metrics["rejected"] == reasons and metrics["documents"] >= 2


value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.just(SHORT * 20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def wild_rows(draw, reader):
    """Rows with some of the renderer's columns and anything in them; parts of parts may look right."""
    shape = importlib.import_module(f"trellis.download.renderers.{reader}").Shape
    names = [each.alias or name for name, each in shape.model_fields.items()]
    inside = [
        *names,
        "type",
        "name",
        "value",
        "values",
        "has_parts",
        "role",
        "content",
        "answer_id",
        "pm_score",
        "text",
    ]
    nested = st.lists(st.dictionaries(st.sampled_from(inside), value, max_size=5), max_size=3)
    return draw(
        st.one_of(value, st.dictionaries(st.sampled_from(names), st.one_of(value, nested, nested.map(json.dumps))))
    )


@pytest.mark.parametrize("reader", RENDERERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_row_breaks_a_renderer(reader, data):
    """Any JSON row is a document, a reason or malformed."""
    row = data.draw(wild_rows(reader))
    try:
        found = rendered(reader, row)
    except ValidationError:
        return  # what the shard counts as malformed
    assert isinstance(found, (Raw, str)) and (isinstance(found, Raw) or found in REASONS)
    if isinstance(found, Raw):
        assert found.text is None or isinstance(found.text, str)
        json.dumps(found.meta, allow_nan=False)


REASONS = {"malformed", "incomplete", "low_score"}


@pytest.mark.parametrize("reader", [reader for reader in RENDERERS if reader != "text_file"])
def test_rows_of_wrong_types_and_depths_are_malformed(tmp_path, reader):
    shape = importlib.import_module(f"trellis.download.renderers.{reader}").Shape
    required = next(each.alias or name for name, each in shape.model_fields.items() if each.is_required())
    deep = b'{"%s": %s}\n' % (required.encode(), b"[" * 100_000)
    parts = b'{"type": "x", "has_parts": [' * 400 + b"]}" * 400
    nested = b'{"name": "x", "sections": [%s]}\n' % parts if reader == "wiki_article" else b"7\n"
    rows = [{required: 7}, {required: {"a": [1]}}, {}, [], "text", None, deep, nested, b"{\n"]
    metrics, _ = run_bare(tmp_path, {"a.jsonl": jsonl(rows)}, reader)
    assert metrics["rejected"] == {"malformed": len(rows)} and metrics["documents"] == 0
    table = parquet({name.alias or key: pa.array([7, 8]) for key, name in shape.model_fields.items()})
    metrics, _ = run_bare(tmp_path, {"a.parquet": table}, reader)
    assert metrics["rejected"] == {"malformed": 2}


LOADED = """
import json, sys
from pathlib import Path
from trellis.command import execute
from trellis.spec import Spec
execute(Spec.model_validate_json(sys.stdin.read()), Path(sys.argv[1]))
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "trellis"]))
"""


@pytest.mark.parametrize("reader", RENDERERS)
def test_all_that_a_shard_loads_is_part_of_its_address(tmp_path, reader):
    row = {"text": "Some text.", "content": "x", "messages": [], "name": "x", "answers": [], "question": "q"}
    files = {"a.txt" if reader == "text_file" else "a.jsonl": jsonl([{**row, "schema": "s", "query": "q"}])}
    spec, out = order_shard(tmp_path, files, reader, language="en", min_compression=0.1)
    loaded = run_python(LOADED, spec.model_dump_json(), out)
    addressed = {*code_digest("trellis.download.shard"), *code_digest(f"trellis.download.renderers.{reader}")}
    assert f"trellis.download.renderers.{reader}" in loaded and with_code(loaded) <= addressed


@pytest.mark.parametrize("reader", get_args(Reader))
def test_all_that_a_reader_loads_is_part_of_its_address(reader):
    code = f"""
import importlib, json, sys
import trellis.download.ingest
importlib.import_module("trellis.download.readers.{reader}")
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "trellis"]))
"""
    loaded = run_python(code)
    addressed = {*code_digest("trellis.download.ingest"), *code_digest(f"trellis.download.readers.{reader}")}
    assert f"trellis.download.readers.{reader}" in loaded and with_code(loaded) <= addressed


def with_code(modules):
    """Those of the modules that hold more than a docstring."""
    return {name for name in modules if len(ast.parse(inspect.getsource(importlib.import_module(name))).body) > 1}


def run_python(code, given="", *arguments):
    answer = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], input=given, capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout.splitlines()[-1]))
