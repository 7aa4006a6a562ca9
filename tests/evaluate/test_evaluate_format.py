"""The format suite: what it asks for is unambiguous, its readers are right and cannot be exhausted."""

import csv
import io
import json
import math
import re
import time
import tomllib
from collections import Counter
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from trellis.evaluate.agreement import equal
from trellis.evaluate.answer import MAX_DEPTH, MAX_LENGTH
from trellis.evaluate.formats import Unreadable, read
from trellis.evaluate.scorers.format import score
from trellis.evaluate.suites.format import INSTRUCTIONS, build
from trellis.evaluate.suites.format_text import write
from trellis.evaluate.suites.format_values import AWKWARD, NAMES, WORDS
from trellis.experiment.evaluation import FormatSuite
from trellis.schema_tasks import text
from trellis.schema_tasks.values import FOREIGN, VOCABULARY

FORMS = ("yaml", "toml", "xml", "csv")


def made(items=30, name="format", **settings):
    return build(FormatSuite(kind="format", items=items, **settings), name, SimpleNamespace(config={"shots": 2}))


@pytest.fixture(scope="module")
def items():
    return list(made().items)


def test_a_copier_of_the_gold_gets_everything(items):
    assert Counter(item["stratum"] for item in items) == dict.fromkeys(FORMS, len(items) // 4)
    for item in items:
        assert score(item, item["answer"]) == dict.fromkeys(score(item, ""), 1), item["answer"]
        assert score(item, f"Here:\n```{item['stratum']}\n{item['answer']}\n```")["parse_lenient"] == 1


@pytest.mark.parametrize("output", ["", "{}", "null", "I cannot do that.", '{"a": 1}', "<a/>", "a = 1", "a: 1"])
def test_a_constant_answers_no_item(items, output):
    assert not any(score(item, output)["exact"] for item in items)


def test_the_prompt_states_the_value_and_the_format(items):
    for item in items:
        instruction, value = item["messages"][0]["content"].split("\n", 1)
        assert instruction == INSTRUCTIONS[item["stratum"]] and item["stratum"].upper() in instruction
        assert json.loads(value) == item["gold"]
        assert item["schema"] is None and item["split"] == "unseen" and item["check"] == {"format": item["stratum"]}
    assert len({item["messages"][0]["content"] for item in items}) == len({item["id"] for item in items}) == len(items)


def test_the_answers_are_read_alike_by_readers_that_are_not_ours(items):
    for item in items:
        gold, answer = item["gold"], item["answer"]
        match item["stratum"]:
            case "yaml":
                assert yaml.safe_load(answer) == gold
            case "toml":
                assert tomllib.loads(answer) == gold
            case "csv":
                rows = list(csv.DictReader(io.StringIO(answer)))
                assert rows == [{key: texts(value) for key, value in row.items()} for row in gold]
            case "xml":
                assert of_element(ElementTree.fromstring(answer)) == texts(gold)


def texts(value):
    if isinstance(value, dict):
        return {key: texts(child) for key, child in value.items()}
    if isinstance(value, list):
        return [texts(child) for child in value]
    return value if isinstance(value, str) else json.dumps(value)


def of_element(element):
    if not len(element):
        return element.text
    if all(child.tag == "item" for child in element):
        return [of_element(child) for child in element]
    return {child.tag: of_element(child) for child in element}


def test_a_spoiled_answer_is_not_exact(items):
    spoiled = 0
    for item in items:
        answer = item["answer"]
        for place in range(0, len(answer), 7):
            if answer[place].isalnum():
                other = "z" if answer[place] != "z" else "y"
                found = score(item, answer[:place] + other + answer[place + 1 :])
                # But for the name of XML's root, which is not judged, every letter counts.
                if item["stratum"] != "xml" or "record" not in answer[max(0, place - 6) : place + 6]:
                    assert found["exact"] == 0 and found["leaf_f1"] < 1
                    spoiled += 1
    assert spoiled > 1_000


def test_every_format_meets_strings_that_a_careless_writer_spoils(items):
    """Writing the strings as they are, unquoted and unescaped, is wrong for some items in every format."""
    careless = {
        "yaml": lambda value: "\n".join(f"{key}: {child}" for key, child in value.items()),
        "toml": lambda value: "\n".join(f'{key} = "{child}"' for key, child in value.items()),
        "xml": lambda value: f"<r>{''.join(f'<{k}>{v}</{k}>' for k, v in value.items())}</r>",
        "csv": lambda rows: "\n".join(",".join(map(str, row)) for row in (rows[0], *(row.values() for row in rows))),
    }
    for form in FORMS:
        of = [item for item in items if item["stratum"] == form]
        flat = [item for item in of if form == "csv" or all(isinstance(v, str) for v in item["gold"].values())]
        outcomes = Counter(score(item, careless[form](item["gold"]))["exact"] for item in flat)
        assert outcomes[1] and outcomes[0], form


def test_a_grown_suite_keeps_its_items_and_another_seed_has_others():
    small, large = list(made(5).items), list(made(9).items)
    assert large[: len(small)] == small
    assert not {str(i["gold"]) for i in made(5, seed=7).items} & {str(i["gold"]) for i in small}
    assert [item["stratum"] for item in made(2, formats=["csv", "xml"]).items][:4] == ["csv", "xml"] * 2


def test_shots_are_no_items_and_are_right(items):
    shots = made().shots
    assert [shot["stratum"] for shot in shots] == [form for form in FORMS for _ in range(2)]
    assert [shot["answer"] for shot in shots] == [shot["answer"] for shot in made(3).shots]
    for shot in shots:
        assert equal(
            read(shot["stratum"], shot["answer"]), json.loads(shot["messages"][0]["content"].split("\n", 1)[1])
        )
        assert shot["messages"] not in [item["messages"] for item in items]


def test_nothing_of_fine_tunings_templates_is_in_it():
    trained = {word.lower() for word in (*VOCABULARY["training"], *FOREIGN["training"])}
    own = {word for words in NAMES.values() for name in words for word in name.split("_")} | set(WORDS)
    assert not own & trained
    assert not any(form in instruction for form in text.STATED for instruction in INSTRUCTIONS.values())


SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(lambda key: key != "item")


def nested(strings):
    leaf = SCALARS | strings
    return st.dictionaries(
        KEYS,
        st.recursive(
            leaf,
            lambda inner: st.lists(leaf, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=3),
            max_leaves=6,
        ),
        min_size=1,
        max_size=4,
    )


PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufffd"), max_size=12)
# Without types, a string must not look like anything else, nor have space around it.
UNTYPED = st.from_regex(r"[A-Za-z<&>,\"';][^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]{0,8}x", fullmatch=True)


@given(nested(PRINTABLE))
def test_what_is_written_as_yaml_and_toml_is_read_back(value):
    for form in ("yaml", "toml"):
        assert equal(read(form, write(form, value)), value)


@given(nested(UNTYPED))
def test_what_is_written_as_xml_is_read_back(value):
    assert equal(read("xml", write("xml", value)), value)


@given(st.lists(KEYS, min_size=1, max_size=4, unique=True), st.data())
def test_what_is_written_as_csv_is_read_back(names, data):
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, SCALARS | UNTYPED)), min_size=1, max_size=3))
    assert equal(read("csv", write("csv", rows)), rows)


# Texts that are numbers in YAML 1.2 and none in 1.1, so that `safe_dump` does not quote them: 0E0, 0o7.
NEW_NUMBER = re.compile(r"[-+]?(\.\d+|\d+\.?\d*)([eE][-+]?\d+)?|0o[0-7]+")


def strings(value):
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@given(nested(PRINTABLE))
def test_yaml_is_read_as_pyyaml_reads_what_it_wrote(value):
    """But for what YAML 1.2 took out of 1.1, which `safe_dump` quotes."""
    assume(not any(NEW_NUMBER.fullmatch(text) for text in strings(value)))
    assert equal(read("yaml", yaml.safe_dump(value, allow_unicode=True)), value)
    assert equal(read("yaml", json.dumps(value, ensure_ascii=False)), value)


@pytest.mark.parametrize(
    ("form", "written", "value"),
    [
        ("yaml", "a: no\nb: 012\nc: 1_000\nd: 2024-01-01", {"a": "no", "b": 12, "c": "1_000", "d": "2024-01-01"}),
        ("yaml", "a: ~\nb:\nc: 'null'\nd: \"1\"", {"a": None, "b": None, "c": "null", "d": "1"}),
        ("yaml", "---\n- a\n- [1, 2.5e1, .5]\n...", ["a", [1, 25.0, 0.5]]),
        ("yaml", "true: 1\n2: x", {"true": 1, "2": "x"}),
        ("yaml", "a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        (
            "toml",
            "d = 2024-01-01\nt = 07:30:00\n[a.b]\nx = 1",
            {"d": "2024-01-01", "t": "07:30:00", "a": {"b": {"x": 1}}},
        ),
        ("xml", "<r><a x='1'>2</a></r>", {"a": {"@x": 1, "#text": "2"}}),
        ("xml", "<r><a>1</a><a>2</a><b/></r>", [{"a": 1}, {"a": 2}, {"b": ""}]),
        ("xml", "<?xml version='1.0'?><any><item> x </item></any>", ["x"]),
        ("xml", "<r><!-- c --><a>&lt;b&gt;&#33;</a></r>", {"a": "<b>!"}),
        ("csv", "a,b\r\n1,x\r\n", [{"a": 1, "b": "x"}]),
        ("csv", 'a\n"x ""y"", z"\n', [{"a": 'x "y", z'}]),
    ],
)
def test_each_format_is_read_by_its_own_rules(form, written, value):
    assert equal(read(form, written), value)


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("yaml", "just prose"),
        ("yaml", "12"),
        ("yaml", ""),
        ("yaml", "a: 1\na: 2"),
        ("yaml", "a: &x [1]\nb: *x"),
        ("yaml", "a: &x 1"),
        ("yaml", "a: !!python/object/apply:os.system ['true']"),
        ("yaml", "a: !!str 1"),
        ("yaml", "a: 1\n---\nb: 2"),
        ("yaml", "? [a]\n: 1"),
        ("yaml", "a: [1"),
        ("yaml", "\tb: 1"),
        ("yaml", "a: \x00"),
        ("yaml", "a: \ud800"),
        ("yaml", "a: 1" + "0" * 5_000),
        ("toml", "a = 1\na = 2"),
        ("toml", "a: 1"),
        ("toml", ""),
        ("toml", "# nothing"),
        ("toml", "a = 1\n[a]\nb = 2"),
        ("toml", "a = \ud800"),
        ("toml", "a = 1" + "0" * 5_000),
        ("xml", "<a>"),
        ("xml", "<a></b>"),
        ("xml", "<a/><b/>"),
        ("xml", "text"),
        ("xml", ""),
        ("xml", "<a>&undefined;</a>"),
        ("xml", "<a>\x00</a>"),
        ("xml", "<a>\ud800</a>"),
        ("xml", '<!DOCTYPE r [<!ENTITY x "y">]><r>&x;</r>'),
        ("xml", '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'),
        ("xml", '<!DOCTYPE r SYSTEM "http://localhost/x.dtd"><r/>'),
        ("csv", "a,b"),
        ("csv", "a,b\n1"),
        ("csv", "a,b\n1,2,3"),
        ("csv", "a,a\n1,2"),
        ("csv", 'a\n"open'),
        ("csv", 'a\n"x"y'),
        ("csv", ""),
    ],
)
def test_what_is_not_one_text_of_its_format_is_refused(form, written):
    with pytest.raises(Unreadable):
        read(form, written)


LENGTH = MAX_LENGTH
BOMB = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
ATTACKS = {
    "yaml": [
        *("[" * LENGTH, "{a: " * (LENGTH // 4), "- " * (LENGTH // 2), "? " * (LENGTH // 2), "a: " * (LENGTH // 3)),
        "a: &a [x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [*a,*a]\n" for n in range(2_000)),
        "a: &a [*a]",
        '"' + "\\" * (LENGTH - 1),
        "".join(" " * depth + "a:\n" for depth in range(430)),
        "&a " * (LENGTH // 3),
        "!!set {" * (LENGTH // 7),
        "%" * LENGTH,
    ],
    "toml": [
        *("x = " + "[" * (LENGTH - 4), "x = " + "{a=" * (LENGTH // 3 - 2), "a." * (LENGTH // 2 - 1) + "a"),
        *("[" + "a." * (LENGTH // 2 - 2) + "a]", "x = '''" + "'" * 90_000, "[[a]]\n" * (LENGTH // 6) + "="),
        'x = "' + "\\" * (LENGTH - 5),
        "x = " + "1_" * (LENGTH // 2 - 4) + "1",
        "\n".join(f"a{'.b' * 60}{n} = 1" for n in range(700)) + "\n=",
    ],
    "xml": [
        *(
            "<a>" * (LENGTH // 3),
            "<a " * (LENGTH // 3),
            "<" * LENGTH,
            "&" * LENGTH,
            "<a>" + "&amp;" * (LENGTH // 5 - 2),
        ),
        BOMB + "]><l>&j;</l>",
        "<a " + " ".join(f"b{n}=''" for n in range(10_000)) + ">",
        "<!--" * (LENGTH // 4),
        "<![CDATA[" * (LENGTH // 9),
    ],
    "csv": [
        '"' * (LENGTH - 1),
        '"' + "a," * (LENGTH // 2 - 1),
        "," * LENGTH,
        "a\n" + '"' * (LENGTH - 3),
        "\x00" * LENGTH,
    ],
}


@pytest.mark.parametrize(
    ("form", "attack"), [(form, attack) for form, attacks in ATTACKS.items() for attack in attacks]
)
def test_hostile_text_is_refused_in_bounded_time(form, attack):
    item = {"gold": {"a": 1}, "check": {"format": form}}
    for output in (attack, f"```\n{attack[: LENGTH - 10]}\n```", attack * (2**20 // len(attack) + 1)):
        start = time.process_time()
        assert score(item, output)["exact"] == 0
        assert time.process_time() - start < 3
    with pytest.raises(Unreadable):
        read(form, attack * (2**20 // len(attack) + 1))


def test_nesting_is_followed_to_the_bound_and_no_further():
    nests = {
        "yaml": lambda depth: "[" * depth + "]" * depth,
        "xml": lambda depth: "<item>" * depth + "</item>" * depth,
        "toml": lambda depth: ".".join("a" * (depth - 1)) + " = 1",
    }
    for form, nest in nests.items():
        assert read(form, nest(MAX_DEPTH))
        with pytest.raises(Unreadable, match="deeper"):
            read(form, nest(MAX_DEPTH + 1))


def test_numbers_beyond_json_are_equal_to_nothing():
    assert math.isnan(read("toml", "a = nan")["a"])
    assert score({"gold": {"a": 1}, "check": {"format": "toml"}}, "a = nan")["exact"] == 0
    assert not equal(read("toml", "a = nan"), read("toml", "a = nan"))


def test_awkward_strings_stay_strings_where_a_format_has_no_types():
    for form in ("xml", "csv"):
        for pattern in AWKWARD[form]:
            value = {"a": pattern.format("x", "y", 12)}
            assert read(form, write(form, [value] if form == "csv" else value)) == ([value] if form == "csv" else value)
