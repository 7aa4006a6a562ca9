"""From text to survivors: planted copies, leaks and SQL pairs, found at the rates that theory gives."""

import random

import pyarrow.parquet as pq
import pytest

from trellis.command import execute
from trellis.documents import document_id

SIGNATURE = {"ngram": 5, "bands": 14, "rows": 8}


@pytest.fixture
def filtered(make_spec, documents, tokens, schemas, tmp_path):
    """filtered({source: {native id: text}}, ...) -> (the manifest of duplicates, native id by doc_id)."""

    def run(sources, records=(), shards=1, name="one", signatures=None, **rules):
        signatures = signatures or {}
        reference, features = schemas(list(records)), []
        for source, texts in sources.items():
            folder = documents(source, texts, shards, name)
            config = {
                "signatures": {source: {**SIGNATURE, **signatures.get(source, {})}},
                "decontamination": {},
                "reference_tokenizer": None,
            }
            inputs = {"documents": [folder], "tokens": [tokens([folder], f"{name}-{source}")], "schemas": [reference]}
            spec = make_spec("filter", "features", f"features-{source}", config, inputs)
            execute(spec, tmp_path / name / f"features-{source}")
            features.append(tmp_path / name / f"features-{source}")
        config = {"duplicates": {**SIGNATURE, "per_source": signatures, **rules}, "source_priority": []}
        spec = make_spec("filter", "duplicates", "duplicates", config, {"features": features})
        native = {document_id(source, key): key for source, texts in sources.items() for key in texts}
        return execute(spec, tmp_path / name / "duplicates"), native

    return run


def found(made, native) -> dict[str, dict]:
    rows = pq.read_table(made.path("duplicates.parquet")).to_pylist()
    return {native[row["doc_id"]]: {**row, "cluster": native[row["cluster"]]} for row in rows}


def copy(rng: random.Random, words: list[str], jaccard: float, n: int = 5) -> list[str]:
    """The words with some of them replaced, n or more apart, so that the n-gram sets have the similarity asked for."""
    total = len(words) - n + 1
    changes = round(total * (1 - jaccard) / (1 + jaccard) / n)
    changed = words.copy()
    for place in rng.sample(range(n - 1, len(words) - n, n), changes):
        changed[place] = f"new{rng.getrandbits(60)}"
    return changed


def jaccard_of(one: list[str], other: list[str], n: int = 5) -> float:
    sets = [{tuple(words[start : start + n]) for start in range(len(words) - n + 1)} for words in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("jaccard", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_planted_copies_are_found_at_the_rates_of_theory(filtered, jaccard):
    rng, count = random.Random(7), 250
    web, wiki, rates = {}, {}, []
    for number in range(count):
        words = [f"w{rng.getrandbits(60)}" for _ in range(150)]
        near = copy(rng, words, jaccard)
        rates.append(1 - (1 - jaccard_of(words, near) ** 8) ** 14)
        web[f"a{number}"], wiki[f"b{number}"] = " ".join(words), " ".join(near)
    made, native = filtered({"web": web, "wiki": wiki}, verify=False)
    rows = found(made, native)
    pairs = [number for number in range(count) if f"a{number}" in rows]
    assert all(rows[f"a{n}"]["cluster"] == rows[f"b{n}"]["cluster"] for n in pairs)
    expected = sum(rates) / count
    assert abs(len(pairs) / count - expected) < 4 * (expected * (1 - expected) / count) ** 0.5 + 0.02


def test_shards_of_documents_do_not_matter(filtered, sentence):
    rng = random.Random(1)
    texts = {str(number): sentence(rng, 60) for number in range(60)}
    texts |= {f"copy{number}": texts[str(number)] + " end" for number in range(0, 60, 3)}
    one, native = filtered({"web": texts, "wiki": {"x": texts["1"]}})
    two, _ = filtered({"wiki": {"x": texts["1"]}, "web": texts}, shards=5, name="two")
    assert len(found(one, native)) == 42
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]


def test_a_near_copy_of_a_leak_leaves_with_it_and_no_clean_copy_is_lost(filtered, sentence):
    rng = random.Random(2)
    question, page = sentence(rng, 40), sentence(rng, 900)
    record = {"id": "q", "suite": "quiz", "text": question}
    # Half the question is a leak; a little less is none, yet the same page.
    texts = {"leak": f"{page} {question}", "near": f"{page} {' '.join(question.split()[:18])}"}
    texts |= {"apart": sentence(rng, 900), "copy of apart": ""}
    texts["copy of apart"] = texts["apart"] + " indeed"
    made, native = filtered({"web": texts}, [record])
    rows = found(made, native)
    assert {key: (row["kept"], row["contaminated_by"]) for key, row in rows.items() if "apart" not in key} == {
        "leak": (False, "q"),
        "near": (False, "q"),
    }
    assert sorted(row["kept"] for key, row in rows.items() if "apart" in key) == [False, True]
    made, native = filtered({"web": texts}, [record], name="keep", near_contaminated="keep")
    assert {key: row["kept"] for key, row in found(made, native).items() if "apart" not in key} == {
        "leak": False,
        "near": True,
    }


def test_sql_over_repeated_schemas_survives_and_its_copies_do_not(filtered, sentence):
    rng, texts = random.Random(3), {}
    for schema in range(5):
        tables = "\n".join(f"CREATE TABLE t{schema}_{number} (id INT, c{number} TEXT);" for number in range(40))
        for question in range(4):
            asked = f"QUESTION\n{sentence(rng, 12)}\n\nSQL\nSELECT c{question} FROM t{schema}_{question};"
            texts[f"{schema}-{question}"] = f"SCHEMA\n{tables}\n\n{asked}"
        texts[f"{schema}-copy"] = texts[f"{schema}-0"]
    made, native = filtered({"sqale": texts}, signatures={"sqale": {"group_by": "schema"}})
    rows = found(made, native)
    assert sorted(rows) == sorted(key for key in texts if key.endswith(("-0", "-copy")))
    assert made.metrics["clusters"] == {"2": 5}
    made, _ = filtered({"sqale": texts}, name="destroyed")
    assert made.metrics["sources"]["sqale"]["duplicates"] == 20


def test_code_is_compared_by_its_lines(filtered):
    rng = random.Random(4)
    lines = [f"    value_{rng.randrange(10**6)} = compute({rng.randrange(10**6)})" for _ in range(60)]
    moved = "\n\n".join(line.strip() + "  " for line in lines)
    shuffled = "\n".join(rng.sample(lines, len(lines)))
    made, native = filtered(
        {"code": {"a": "\n".join(lines), "b": moved, "c": shuffled}}, signatures={"code": {"shingle": "lines"}}
    )
    assert sorted(found(made, native)) == ["a", "b"]
