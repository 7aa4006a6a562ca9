"""The validation split: by document hash alone, source by source, whatever else a study decides."""

import itertools

import numpy as np
import pytest

from pools import MATHS, pool
from trellis.document_split import mixed

SHARE, SEED = 0.1, 3
BINS = [{"at_least": 2.0, "share": 1.0}]
RULE = {"kind": "topics_and_complexity", "threshold": 0.5, "bins": BINS}
RULES = {
    "narrow": {**RULE, "groups": [{"name": "maths", "topics": [MATHS], "share": 1.0}], "min_tokens": 30},
    "wide": {**RULE, "groups": [{"name": "all"}]},
}


def by_hash(rows: list[dict]) -> set[int]:
    """The documents whose hash says that they are held out."""
    ids = np.array([row["doc_id"] for row in rows], np.uint64)
    return {
        row["doc_id"] for row, held in zip(rows, mixed(ids, SEED, "validation") / 2.0**64 < SHARE, strict=True) if held
    }


@pytest.fixture
def sources():
    return {"web": pool(1, 800), "wiki": pool(2, 400)}


def test_no_document_of_the_split_is_ever_trained_on_and_all_clean_ones_validate(select, tables, selected, sources):
    """In any mixture, arm and rule, of any duplicates and contamination, with a budget of everything that there is."""
    made = tables(sources)
    copies = {name: [row["doc_id"] for row in rows[::3]] for name, rows in sources.items()}
    number = itertools.count()
    for gone, contaminated in (({}, False), (copies, False), (copies, True)):
        for rule, arm, tokens in (
            ("random", None, 9000),
            ("wide", None, 5000),
            ("narrow", None, 640),
            ("wide", "random", 640),
        ):
            shares = {"web": {"tokens": tokens, "select": rule}}
            name = f"m{next(number)}"
            mixture = select(made, shares, name, RULES, gone=gone, contaminated=contaminated, arm=arm, tolerance=0.9)
            for source, rows in sources.items():
                clean = {row["doc_id"] for row in rows if row["contaminated_by"] is None} - set(gone.get(source, []))
                assert set(selected(mixture, source, "validation")) == by_hash(rows) & clean
                assert not set(selected(mixture, source)) & by_hash(rows)
                assert set(selected(mixture, source)) <= clean


def test_the_split_of_a_source_does_not_know_of_others_nor_of_scores_nor_shards(select, tables, selected, sources):
    alone = select(tables({"web": sources["web"]}, "alone"), {"web": {"tokens": 640}}, "alone")
    blank = [{**row, "topics": None, "complexity": None} for row in sources["web"]]
    beside = select(tables({**sources, "web": blank}, "beside", shards=3), {"wiki": {"tokens": 640}}, "beside")
    assert selected(alone, "web", "validation") == selected(beside, "web", "validation") != {}
