"""The extraction suite: a passage has one reading, and that is the gold."""

import json
from collections import Counter, defaultdict
from types import SimpleNamespace

import jsonschema
import pytest

from passage_reader import records_of
from trellis.contamination.schemas import find_schemas
from trellis.evaluate.scorers.extraction import score
from trellis.evaluate.suites.extraction import SIZES, STRATA, build
from trellis.evaluate.suites.passages import CORRECTIONS, DOMAINS, PLACES, SURNAMES
from trellis.evaluate.suites.tellings import Choice
from trellis.experiment.evaluation import ExtractionSuite
from trellis.schema_tasks import text as templates
from trellis.schema_tasks.values import FOREIGN, VOCABULARY

NAMES = ("parse", "parse_lenient", "schema_valid", "exact", "leaf_f1", "key_f1", "type_accuracy")


def made(items=24, **settings):
    return build(ExtractionSuite(kind="extraction", items=items, **settings), "extraction", spec(2))


def spec(shots):
    return SimpleNamespace(config={"shots": shots})


@pytest.fixture(scope="module")
def items():
    return list(made().items)


def told(item):
    return item["messages"][0]["content"].split("\n", 1)[1]


def test_a_reader_of_the_sentences_finds_the_gold_and_only_that(items):
    for item in items:
        assert records_of(told(item), item["schema"]) == item["gold"]


def test_the_schema_in_the_prompt_is_the_items_and_the_gold_fits_it(items):
    for item in items:
        assert json.loads(item["messages"][0]["content"].split("\n")[0]) == item["schema"]
        jsonschema.validate(item["gold"], item["schema"], format_checker=jsonschema.FormatChecker())
        (found,) = (each.schema for each in find_schemas(item["messages"][0]["content"]) if not each.inner)
        assert found == item["schema"]["items"]
        assert item["split"] == "unseen" and item["check"] is None and item["kind"] == "extraction"


def test_a_copier_of_the_gold_gets_everything(items):
    for item in items:
        assert score(item, item["answer"]) == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("output", ["[]", "{}", "", "[{}]", "null"])
def test_a_constant_answers_no_item(items, output):
    assert not any(score(item, output)["exact"] or score(item, output)["leaf_f1"] for item in items)


def test_the_strata_are_as_large_as_they_say(items):
    by = defaultdict(list)
    for item in items:
        by[item["stratum"]].append(item)
    assert {stratum: len(of) for stratum, of in by.items()} == dict.fromkeys(STRATA, len(items) // 3)
    for stratum, of in by.items():
        (fewest, most), (few, many), *_ = SIZES[stratum]
        assert {len(item["gold"]) for item in of} == set(range(fewest, most + 1))
        assert {len(item["gold"][0]) for item in of} == set(range(few + 1, many + 2))
    assert "in the order in which the text first names them" in by["few"][0]["schema"]["description"]
    assert all(len({json.dumps(record) for record in item["gold"]}) == len(item["gold"]) for item in items)


def test_the_order_asked_for_is_that_of_first_mention_and_no_other_would_do(items):
    differ = 0
    for item in items:
        identity = next(iter(item["gold"][0]))
        places = [told(item).lower().index(record[identity].lower()) for record in item["gold"]]
        assert places == sorted(places)
        if len(item["gold"]) > 1:
            differ += score(item, json.dumps(item["gold"][::-1]))["exact"] == 0
    assert differ == sum(len(item["gold"]) > 1 for item in items) > 0


def test_what_is_taken_back_or_of_no_record_is_a_trap(items):
    """The larger strata have scenes and corrections; the smallest has nothing but what is asked."""
    scenes = {scene for domain in DOMAINS for scene in domain.scenes}
    marks = [form.split("{told}")[1].split("{who}")[-1] for form in CORRECTIONS]
    count = Counter()
    for item in items:
        count[item["stratum"], "scene"] += any(scene in told(item) for scene in scenes)
        count[item["stratum"], "correction"] += any(mark in told(item) for mark in marks)
    assert not count["one", "scene"] and not count["one", "correction"]
    assert count["many", "scene"] == len(items) // 3 and count["many", "correction"] > len(items) // 4
    assert 0 < count["few", "scene"] < len(items) // 3


def test_the_short_form_is_short(items):
    """What the demo's context has room for: one record of two properties."""
    short = [item for item in items if len(item["gold"][0]) == 2]
    assert len(short) > len(items) / 10
    assert sorted(len(item["messages"][0]["content"] + item["answer"]) for item in short)[len(short) // 2] < 330


def test_no_domain_can_be_read_two_ways():
    for domain in DOMAINS:
        names = [domain.identity, *(field.name for field in domain.fields)]
        assert len(set(names)) == len(names) and len(set(domain.names)) == len(domain.names) >= 6
        for field in domain.fields:
            assert all(form.count("{who}") == form.count("{told}") == 1 for form in field.sentences)
            if isinstance(field.kind, Choice):
                assert len(set(field.kind.phrases.values())) == len(field.kind.phrases)
        assert not any(name.lower() in scene.lower() for name in domain.names for scene in domain.scenes)


def test_nothing_of_fine_tunings_templates_is_in_it():
    trained = {word.lower() for word in (*VOCABULARY["training"], *FOREIGN["training"])}
    own = {domain.identity for domain in DOMAINS} | {name.lower() for name in (*SURNAMES, *PLACES)}
    for domain in DOMAINS:
        own |= {word.lower() for name in domain.names for word in name.split()}
        own |= {word for field in domain.fields for word in field.name.split("_")}
    assert not own & trained
    forms = {form for domain in DOMAINS for field in domain.fields for form in field.sentences}
    assert not forms & {*templates.STATED, *templates.UNKNOWN, *templates.CORRECTED, *templates.ELSEWHERE}


def test_a_cluster_is_a_schema(items):
    by = defaultdict(set)
    for item in items:
        by[item["cluster"]].add(json.dumps(item["schema"], sort_keys=True))
    assert all(len(schemas) == 1 for schemas in by.values())
    assert len({json.dumps(item["schema"], sort_keys=True) for item in items}) == len(by) > 40


def test_a_grown_suite_keeps_its_items_and_another_seed_has_others():
    small, large = list(made(4).items), list(made(7).items)
    assert large[: len(small)] == small
    other = list(made(4, seed=7).items)
    assert not {str(item["messages"]) for item in other} & {str(item["messages"]) for item in small}


def test_shots_are_of_one_record_and_no_items(items):
    shots = made().shots
    for shot in shots:
        schema, text = shot["messages"][0]["content"].split("\n", 1)
        assert records_of(text, json.loads(schema)) == json.loads(shot["answer"])
        assert len(json.loads(shot["answer"])) == 1
    assert len(shots) == 2 and not {str(s["messages"]) for s in shots} & {str(item["messages"]) for item in items}
