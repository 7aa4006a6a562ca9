"""Signatures and clusters against definitions, theory and planted similarity."""

import numpy as np
import pytest

from trellis.experiment.duplicates import Duplicates, Signature
from trellis.filter import similar
from trellis.filter.shingles import shingles
from trellis.filter.signature_file import SignatureFile
from trellis.filter.signatures import estimate, pack, signatures
from trellis.filter.similar import cluster
from trellis.progress import bar
from trellis.words import hash_words

JACCARDS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]


def signed(*texts, **rules):
    rules = Signature(**rules)
    grams = shingles(list(texts), hash_words(list(texts)), rules)
    return signatures(grams, rules), np.diff(grams.offsets) > 0


@pytest.fixture
def clustered(tmp_path):
    """clustered(keys, rows, similarity) -> the cluster of each document, by its lowest rank; `order` as in `cluster`."""

    def run(keys, rows, similarity, order=None, usable=None):
        file = SignatureFile(tmp_path / "signatures", keys.shape[1])
        file.append(keys)
        order = np.arange(len(keys), dtype=np.uint32) if order is None else order.astype(np.uint32)
        usable = np.ones(len(keys), bool) if usable is None else usable
        with bar("test", keys.shape[1], "band") as progress:
            roots = cluster(file, order, usable, rows, similarity, progress)
        file.close()
        found = np.empty(len(keys), np.int64)
        found[order] = roots
        return found

    return run


def test_a_short_text_is_its_own_shingle_and_an_empty_one_has_none():
    (one, same, other, empty), has = signed("a b", "A  b!", "a c", " ... ")
    assert one.tolist() == same.tolist() != other.tolist()
    assert has.tolist() == [True, True, True, False] and not empty.any()


def test_lines_are_compared_stripped_and_without_empty_ones():
    code = "import os\n\n\ndef f():\n    return 1\n"
    (one, same, other, empty), has = signed(
        code, code.replace("\n", "\n \n\t"), code.replace("1", "2"), " \n\n", shingle="lines", ngram=2
    )
    assert one.tolist() == same.tolist() != other.tolist()
    assert 0.1 < estimate(one[None], other[None], 8)[0] < 0.6  # two of four pairs of lines
    assert has.tolist() == [True, True, True, False] and not empty.any()


def sql(schema, question, query):
    return f"SCHEMA\n{schema}\n\nQUESTION\n{question}\n\nSQL\n{query}"


def test_questions_over_one_schema_are_no_duplicates_and_copies_are():
    schema = "\n\n".join(f"CREATE TABLE t{number} (id INTEGER, name_{number} TEXT);" for number in range(40))
    texts = [
        sql(schema, "How many rows has the first table?", "SELECT COUNT(*) FROM t0;"),
        sql(schema, "Which names begin with A?", "SELECT name_3 FROM t3 WHERE name_3 LIKE 'A%';"),
        sql(schema, "How many rows has the first table?", "SELECT count(*) FROM t0"),
        sql(schema + "\n-- another", "How many rows has the first table?", "SELECT COUNT(*) FROM t0;"),
    ]
    by_text, _ = signed(*texts)
    by_schema, _ = signed(*texts, group_by="schema")
    assert estimate(by_text[:1], by_text[1:2], 8)[0] > 0.8  # destroyed
    found = estimate(by_schema[:1].repeat(3, 0), by_schema[1:], 8)
    assert found[0] < 0.1 and found[1] == 1 and found[2] < 0.1


def pairs(rng, jaccard, count, size=400):
    """Texts in pairs of a known Jaccard similarity of their words."""
    shared = round(2 * size * jaccard / (1 + jaccard))
    for _ in range(count):
        pool = [f"w{number}" for number in rng.integers(0, 2**62, 2 * size - shared)]
        yield " ".join(pool[:size])
        yield " ".join(pool[:shared] + pool[size:])


@pytest.mark.parametrize("shape", [(14, 8), (9, 13)], ids=["8 bits", "4 bits"])
@pytest.mark.parametrize("jaccard", [0.0, *JACCARDS])
def test_equal_components_estimate_the_jaccard_similarity(jaccard, shape):
    bands, rows = shape
    keys, _ = signed(*pairs(np.random.default_rng(1), jaccard, 60), ngram=1, bands=bands, rows=rows)
    estimates = estimate(keys[::2], keys[1::2], rows)
    assert abs(estimates.mean() - jaccard) < 0.02
    assert estimates.std() < 1.4 * (max(jaccard, 0.02) * (1 - jaccard) / (bands * rows)) ** 0.5 + 0.01


def random_pairs(jaccard, count, bands, rows, seed=2):
    """Components of pairs that agree with probability `jaccard`, packed."""
    rng, size = np.random.default_rng(seed), (count, bands * rows)
    first, second = rng.integers(0, 2**32, (2, *size), dtype=np.uint32)
    second = np.where(rng.random(size) < jaccard, first, second)
    return pack(np.stack([first, second], 1).reshape(-1, bands * rows), rows)


@pytest.mark.parametrize("shape", [(14, 8), (16, 8), (20, 5)], ids=str)
@pytest.mark.parametrize("jaccard", [0.3, *JACCARDS])
def test_banding_finds_what_theory_says(jaccard, shape, clustered):
    # A component that keeps b bits agrees with probability s + (1 - s) / 2**b; unverified, one equal band is enough.
    (bands, rows), count = shape, 3000
    agree = jaccard + (1 - jaccard) * 2.0 ** -min(32, 64 // rows)
    expected = 1 - (1 - agree**rows) ** bands
    components = clustered(random_pairs(jaccard, count, bands, rows), rows, None)
    recall = (components[::2] == components[1::2]).mean()
    assert abs(recall - expected) < 4 * (expected * (1 - expected) / count) ** 0.5 + 0.001
    assert abs(expected - (1 - (1 - jaccard**rows) ** bands)) < 0.01
    assert len(set(components[::2].tolist())) == count


@pytest.mark.parametrize(
    ("jaccard", "least", "most"), [(0.5, 0, 0.001), (0.6, 0, 0.02), (0.8, 0.9, 1), (0.9, 0.999, 1)]
)
def test_verified_pairs_are_those_above_the_threshold(jaccard, least, most, clustered):
    components = clustered(random_pairs(jaccard, 3000, 14, 8), 8, 0.7)
    assert least <= (components[::2] == components[1::2]).mean() <= most


def test_candidates_are_verified(clustered):
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 2**32, (2, 112), dtype=np.uint32)
    other[:8] = one[:8]
    both = pack(np.stack([one, other]), 8)
    assert len(set(clustered(both, 8, 0.7))) == 2
    assert len(set(clustered(both, 8, 0.05))) == len(set(clustered(both, 8, None))) == 1


def test_clusters_are_connected_components_of_any_size_and_order(clustered):
    rng = np.random.default_rng(4)
    chain = [rng.integers(0, 2**32, 112, dtype=np.uint32)]
    for step in range(6):
        following = chain[-1].copy()
        following[step * 16 : step * 16 + 16] = rng.integers(0, 2**32, 16, dtype=np.uint32)
        chain.append(following)
    copies = np.repeat(rng.integers(0, 2**32, (1, 112), dtype=np.uint32), 500, axis=0)
    keys = pack(np.concatenate([chain, copies]), 8)
    assert estimate(keys[:1], keys[6:7], 8)[0] < 0.2
    for order in (None, rng.permutation(len(keys)), rng.permutation(len(keys))):
        components = clustered(keys, 8, 0.7, order)
        assert len(set(components[:7])) == len(set(components[7:])) == 1
        assert components[0] != components[7]
    usable = np.ones(len(keys), bool)
    usable[7] = False
    components = clustered(keys, 8, 0.7, usable=usable)
    assert components[7] == 7 and set(components[8:]) == {8}


def test_clusters_are_the_same_in_parts(clustered, monkeypatch):
    keys = random_pairs(0.85, 1000, 14, 8)
    whole = clustered(keys, 8, 0.7)
    monkeypatch.setattr(similar, "PART", 100)
    monkeypatch.setattr(similar, "BLOCK", 7)
    assert clustered(keys, 8, 0.7).tolist() == whole.tolist()


def test_a_source_may_differ_in_one_key():
    rules = Duplicates(ngram=13, bands=16, per_source={"code": {"shingle": "lines", "ngram": 5}})
    assert rules.signature_of("web") == Signature(ngram=13, bands=16)
    assert rules.signature_of("code") == Signature(shingle="lines", ngram=5, bands=16)
