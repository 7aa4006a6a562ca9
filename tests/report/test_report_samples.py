"""Samples: every corner of the results, whatever the order of the rows, and what was wrong in true words."""

import http.server
import threading

import pytest

from trellis.report.results import Results
from trellis.report.samples import choose, finding, samples_section
from trellis.report.study import read_arms


@pytest.fixture
def results_of(study):
    from trellis.manifest import Manifest

    def build():
        results = Results([Manifest.read(folder) for folder in study.folders])
        return results, study.experiment, read_arms(results, study.experiment)

    return build


def test_every_stratum_is_seen(study, results_of):
    study.add_evaluation()
    chosen = choose(*results_of(), 12)
    strata = {(sample.arm.name, sample.score["split"], sample.score["schema_valid"]) for sample in chosen}
    assert len(chosen) == len(strata) == 12
    assert [sample.score["split"] for sample in chosen] == ["unseen"] * 6 + ["seen"] * 6


def test_more_than_there_is_shows_all_once(study, results_of):
    study.add_evaluation()
    chosen = choose(*results_of(), 10_000)
    assert len({(sample.arm.name, sample.score["id"]) for sample in chosen}) == len(chosen) == 400 * len(study.models)


def test_choice_ignores_the_order_of_rows(study, results_of):
    study.add_evaluation()
    before = [(sample.arm.name, sample.score["id"]) for sample in choose(*results_of(), 20)]
    items = study.items()
    study.items = lambda: items[::-1]
    study.output = lambda model, number, output=study.output: output(model, 199 - number)
    study.add_evaluation()
    assert [(sample.arm.name, sample.score["id"]) for sample in choose(*results_of(), 20)] == before


def test_a_model_without_generations_of_one_kind_leaves_room_for_others(study, results_of):
    study.output = lambda model, number: '{"city": "Lima", "count": 1}'
    study.add_evaluation()
    chosen = choose(*results_of(), 12)
    assert len(chosen) == 12 and all(sample.score["schema_valid"] for sample in chosen)


def test_cards_hold_the_items_and_outputs_they_speak_of(study, results_of):
    study.add_evaluation()
    items = {item["id"]: item for item in study.items()}
    section = samples_section(*results_of(), 30)
    assert sum(len(card["answers"]) for card in section["cards"]) == section["shown"] == 30
    for card in section["cards"]:
        assert card["messages"] == [("user", items[card["id"]]["messages"][0]["content"])]
        number = int(card["id"][-5:])
        assert {answer["output"] for answer in card["answers"]} == {study.output("", number)}


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("parse", "valid", "exact", "gold", "output", "words"),
    [
        (0.0, 0.0, 0.0, {"n": 1}, '{"n": ', "Not JSON: expecting value at character 7. It was still writing"),
        (0.0, 0.0, 0.0, {"n": 1}, '{"n": NaN}', "Not JSON: the strict parser refuses what a lenient one takes."),
        (0.0, 0.0, 0.0, {"n": 1}, "[" * 100_000, "Not JSON:"),
        (1.0, 0.0, 0.0, {"n": 1}, '{"n": "x"}', 'JSON, but not valid: "x" is not of type "integer" at $.n.'),
        (1.0, 0.0, 0.0, {"n": 1}, '{"m": "x", "n": "y"}', "(and 1 more violation)"),
        (1.0, 0.0, 0.0, {"n": 1}, '{"n": 1}', "the scorer's validator refuses it"),
        (1.0, 1.0, 0.0, {"n": 1}, '{"n": 2}', "Valid, but with other values."),
        (1.0, 1.0, 1.0, {"n": 1}, '{"n": 1}', "Valid, and equal to the expected object."),
        (1.0, 1.0, None, None, '{"n": 2}', "Valid; the item has no single expected object."),
    ],
)
def test_what_was_wrong(parse, valid, exact, gold, output, words):
    score = {"parse": parse, "schema_valid": valid, "exact": exact, "truncated": float(output.endswith((": ", "[")))}
    score |= {"execution": None, "ast": None}
    assert words in finding(score, {"schema": SCHEMA, "gold": gold}, output)


def test_a_schema_that_points_elsewhere_is_never_fetched():
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}
        score = {"parse": 1.0, "schema_valid": 0.0, "exact": None, "truncated": 0.0, "execution": None, "ast": None}
        assert "refuses it" in finding(score, {"schema": schema, "gold": None}, "{}")
        server.shutdown()
    assert asked == []
