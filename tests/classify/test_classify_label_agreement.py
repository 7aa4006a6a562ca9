"""Agreement: published and hand-computed figures, and labellings whose agreement was planted."""

import json
import random

import pyarrow.parquet as pq
import pytest

from openai_server import OpenAIServer, Reply
from trellis.classify.agreement import agreement, alpha, kappa, mean_difference
from trellis.classify.rubric import load_rubric
from trellis.command import execute
from trellis.experiment.classify import Labels
from trellis.manifest import file_sha256

GAP = None
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): four observers, twelve units, gaps.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
    [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
]


def units(*observers):
    return [[value for value in unit if value is not GAP] for unit in zip(*observers, strict=True)]


def test_alpha_of_the_published_examples():
    assert alpha(units(*OBSERVERS), ordinal=False) == pytest.approx(0.743, abs=5e-4)
    assert alpha(units(*OBSERVERS), ordinal=True) == pytest.approx(0.815, abs=5e-4)
    # Two observers with two values, and with five.
    two = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert alpha(units(*two), ordinal=False) == pytest.approx(0.095, abs=5e-4)
    five = "aabbdcccedda", "babbbccceddd"
    assert alpha(units(*five), ordinal=False) == pytest.approx(0.692, abs=5e-4)


def test_alpha_at_its_ends():
    assert alpha([[1, 1], [2, 2], [3, 3]], ordinal=True) == 1
    assert alpha([[2, 2], [2, 2]], ordinal=True) is None and alpha([[1], []], ordinal=False) is None
    assert alpha([[0, 1], [1, 0]], ordinal=False) == pytest.approx(-0.5)  # 1 - 3 * 2 / (2 * 2)
    rng = random.Random(0)
    noise = [[rng.randint(1, 5), rng.randint(1, 5)] for _ in range(4000)]
    assert abs(alpha(noise, ordinal=True)) < 0.05 and abs(alpha(noise, ordinal=False)) < 0.05


def test_kappa_by_hand():
    # 50 grants, two readers: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no; 0.7 observed, 0.5 by chance.
    readers = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert kappa(readers, quadratic=False) == pytest.approx(0.4)
    assert kappa(readers, quadratic=True) == pytest.approx(0.4)
    # Levels (1,1) (2,2) (3,3) (1,3): squares 4 of 4 pairs; by chance (2*1*0+2*1*1+2*2*4 + 1+0+2*1 + 4+1+0)/4 = 6.5.
    levels = [(1, 1), (2, 2), (3, 3), (1, 3)]
    assert kappa(levels, quadratic=True) == pytest.approx(1 - 4 / 6.5)
    assert kappa(levels, quadratic=False) == pytest.approx(1 - 1 / (4 - (2 * 1 + 1 * 1 + 1 * 2) / 4))
    assert kappa([(2, 2)] * 5, quadratic=False) is None


def test_the_noise_ceiling_is_the_mean_difference_of_two_labellings():
    assert mean_difference([[1, 1], [2, 4], [1, 2, 3]]) == pytest.approx((0 + 2 + (1 + 2 + 1) / 3) / 3)


def test_every_scale_has_its_figures():
    nulls = [[None, 3.0], [None, None], [4.0]]
    ordinal = agreement(load_rubric("complexity"), [[1.0, 1.0], [2.0, 4.0], *nulls], True)
    assert ordinal.keys() == {"documents", "pairs", "alpha", "kappa", "mae"}
    assert (ordinal["documents"], ordinal["pairs"], ordinal["mae"]) == (2, 2, 1.0)
    classes = agreement(load_rubric("content_type"), [[0, 0, 1], [3, 3, 3]], False)
    assert classes.keys() == {"documents", "pairs", "alpha", "kappa"} and classes["kappa"] is None
    assert (classes["documents"], classes["pairs"]) == (2, 6)
    assert agreement(load_rubric("content_type"), [[1], [None, 2]], True) is None


def test_labels_are_measured_one_by_one_and_open_ones_left_out():
    rubric = load_rubric("topics")
    first, second = [[False] * 17 for _ in range(4)], [[False] * 17 for _ in range(4)]
    for place in (0, 1):
        first[place][0] = second[place][0] = True  # the first label: always the same
        first[place][1], second[place + 2][1] = True, True  # the second: never
    first[3][1] = None
    figures = agreement(rubric, [list(pair) for pair in zip(first, second, strict=True)], True)
    assert figures["alphas"]["mathematics_statistics"] == figures["kappas"]["mathematics_statistics"] == 1
    assert figures["alphas"][rubric.names[1]] == pytest.approx(-2 / 3, abs=1e-4)  # 1 - 5 * 3 / (3 * 3)
    assert figures["alphas"]["philosophy_ethics"] is None
    assert figures["alpha"] == pytest.approx((1 + figures["alphas"][rubric.names[1]]) / 2, abs=1e-4)
    assert figures["documents"] == 4


# ---------------------------------------------------------------- in the stage


@pytest.fixture
def labelled(make_spec, tokenizer_wheel, documents, label_config, tmp_path):
    source = documents(tmp_path / "documents", "prose", {str(number): f"text {number}" for number in range(300)}, {})

    def run(name="out", rubrics=("complexity", "content_type"), **labels):
        config = label_config(300, rubrics, max_null_share=0.1, **labels)
        files = Labels.model_validate(config["labels"]).files
        config["local"] = {file: {"bytes": 1, "sha256": file_sha256(tmp_path / file)} for file in files}
        inputs = {"documents": [source], "encoder": [tokenizer_wheel]}
        return execute(make_spec("classify", "label", "labels", config, inputs), tmp_path / name)

    return run


def test_repeats_and_a_second_model_are_asked_of_their_shares_and_measured(labelled, openai_backend):
    """The first model errs by one level on its second repeat alone; the second model always says one level more."""

    def script(call):
        level = json.loads(call.fitting()).get("level")
        if level is None:
            return Reply(call.fitting())
        if call.body["model"] == "second":
            return Reply(json.dumps({"level": min(level + 1, 5)}))
        return Reply(json.dumps({"level": level + (1 if level < 5 else -1) if call.seen == 2 else level}))

    with OpenAIServer(script) as server:
        rules = {"repeat_share": 0.2, "repeats": 2, "gold_share": 0.3, "second": openai_backend(server, model="second")}
        made = labelled(backend=openai_backend(server, concurrency=1), agreement=rules)
        by_model = {name: [body for body in server.calls if body["model"] == name] for name in ("a-model", "second")}
        calls = len(server.calls)
        plain = labelled("plain", backend=openai_backend(server))
        assert len(server.calls) == calls
    measured = made.metrics["rubrics"]["complexity"]["agreement"]
    repeats, second = measured["repeats"], measured["second"]
    assert 40 <= repeats["documents"] <= 80 and repeats["pairs"] == 3 * repeats["documents"]
    assert repeats["mae"] == pytest.approx(2 / 3, abs=1e-4) and repeats["kappa"] is None and 0 < repeats["alpha"] < 1
    assert 70 <= second["documents"] <= 110 and second["pairs"] == second["documents"]
    assert 0.6 < second["mae"] < 0.95 and 0 < second["kappa"] < 1
    assert made.metrics["rubrics"]["content_type"]["agreement"]["second"]["kappa"] == 1
    assert len(by_model["second"]) == 2 * second["documents"]
    assert len(by_model["a-model"]) == 600 + 2 * 2 * repeats["documents"]
    assert made.run["labelling"]["second"]["requests"] == len(by_model["second"])
    # To measure agreement changes no label.
    assert pq.read_table(made.path("labels.parquet")) == pq.read_table(plain.path("labels.parquet"))
    assert plain.metrics["rubrics"]["complexity"]["agreement"] == {}


def test_people_are_compared_where_they_have_said_something(labelled, tmp_path):
    """People say what the heuristic says of 30 documents, and something else of 10."""
    rows = pq.read_table(labelled("first", ["complexity", "content_type"]).path("labels.parquet")).to_pylist()
    people = [
        {"doc_id": row["doc_id"], "window": row["window"], "complexity": int(row["complexity"]) + (place >= 30)}
        for place, row in enumerate(rows[:40])
    ]
    people.append({"doc_id": rows[50]["doc_id"], "window": 1, "complexity": 5})
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in people))
    made = labelled("people", ["complexity", "content_type"], agreement={"human": str(tmp_path / "people.jsonl")})
    figures = made.metrics["rubrics"]["complexity"]["agreement"]["human"]
    assert (figures["documents"], figures["mae"]) == (40, 0.25)
    assert made.metrics["rubrics"]["content_type"]["agreement"] == {}


@pytest.mark.parametrize(
    ("agreement", "sentence"),
    [
        ({"repeat_share": 0.1}, "heuristic gives the same labels every time"),
        ({"gold_share": 0.1}, "go together"),
    ],
)
def test_rules_that_make_no_sense(label_config, agreement, sentence):
    with pytest.raises(ValueError, match=sentence):
        Labels.model_validate(label_config(agreement=agreement)["labels"])
