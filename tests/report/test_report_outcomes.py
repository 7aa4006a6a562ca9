"""What was written down, what else was measured, and how answers fail: as the statistics have it, or a sentence less."""

from html_page import Page
from trellis.report.wording import percent, points


def test_the_secondary_family_is_corrected_and_says_what_it_found(study, report):
    assert study.experiment["prereg"]["secondary"]
    words = Page(report(study.build_all())[1]).words()
    for contrast in study.experiment["prereg"]["secondary"]:
        row = f"{contrast['treatment']} − {contrast['control']} {contrast['suite']}, {contrast['split']}, free"
        assert row in words
    assert "0.031 7.1 different" in words


def test_too_few_seeds_are_said_in_the_family(study, report):
    given = study.statistics

    def few():
        found = given()
        for row in found["secondary"]:
            row |= {"enough_seeds": False}
        return found

    study.statistics = few
    words = Page(report(study.build_all())[1]).words()
    assert "too few seeds" in words and "different </" not in words


def test_the_components_of_the_interval_are_told_apart(study, report):
    study.primary["components"] |= {"treatment_seed_se": 0.0123, "control_seed_se": 0.0045}
    words = Page(report(study.build_all())[1]).words()
    assert "schemas and items 2.80" in words and "1.23 (trellis, 1 seed)" in words and "0.45 (neox-1x, 1 seed)" in words
    assert f"{points(study.primary['items_low'])} to {points(study.primary['items_high'])}" in words
    assert "80% probability is 7.1 points" in words and "within 3 points is not shown" in words


def test_equivalence_is_said(study, report):
    study.primary["equivalent"] = True
    assert "the two models are equivalent within 3 points" in Page(report(study.build_all())[1]).words()


def test_one_seed_has_no_known_share(study, report):
    words = Page(report(study.build_all())[1]).words()
    assert (
        "unknown, of one run (trellis, 1 seed) and unknown, of one run (neox-1x, 1 seed). Interval and p count" in words
    )
    assert "on the same terms, the smallest difference" in words and "Of items alone" not in words


def test_charts_of_outcomes_and_similarity(study, report):
    page = report(study.build_all())[1]
    for part in ("correct", "wrong_value", "bad_schema", "no_parse", "truncated"):
        assert f'class="fill-outcome-{part}"' in page
    assert "similarity to the nearest schema of fine-tuning" in page


def test_without_schemas_and_similarities_the_section_stands(study, report):
    given = study.statistics
    study.statistics = lambda: (
        given() | {"decomposition": [], "by_similarity": [], "format_tax": [], "interactions": []}
    )
    words = Page(report(study.build_all())[1]).words()
    assert "What the answers fail by" in words and "format tax" not in words


def test_knowledge_is_a_column_per_model_and_variant(study, report):
    row = {"task": "sciq", "metric": "acc", "stderr": 0.0119, "items": 1000}
    study.knowledge = [
        {**row, "model": "trellis", "variant": "base", "value": 0.8261},
        {**row, "model": "trellis", "variant": "tuned", "value": 0.8012},
    ]
    words = Page(report(study.build_all())[1]).words()
    assert "sciq (acc) 0.8261 (0.0119) 0.8012 (0.0119) – –" in words


def test_what_a_constant_answer_scores_and_what_was_left_out_stand_at_the_table(study, report):
    words = Page(report(study.build_all())[1]).words()
    assert "An answer that never changes: any constant, unfiltered 31.0%; {} 1.2%." in words
    assert "Left out for all models, as their prompt or right answer has no room: 4,321." in words


def test_an_interaction_says_what_could_have_been_found(study, report):
    words = Page(report(study.build_all())[1]).words()
    assert (
        "Split against seen Difference, points Detectable, points" in words and "unseen +8.3 [+2.1, +14.6] 7.1" in words
    )


def test_the_format_tax_is_a_difference(study, report):
    words = Page(report(study.build_all())[1]).words()
    assert f"schema Exact match trellis {percent(0.4)} {percent(0.46)} +6.0 [+1.0, +11.0]" in words
