"""The demo's sources on the pinned wheels: the counts that the facts state, the licences, and enough text for the mixtures."""

import json
import re
import sqlite3
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from trellis.command import execute
from trellis.documents import read_rows
from trellis.download.archive import Archive
from trellis.download.ingest import TABLE, reader_named
from trellis.experiment.whole import load_experiment
from trellis.manifest import Manifest, list_files

pytestmark = pytest.mark.wheels

EXPERIMENT = load_experiment(Path(__file__).parents[2] / "config" / "experiments" / "demo.yaml")
NON_COMMERCIAL = ("PiC/phrase_similarity", "phrase_similarity", "vicgalle", "alpaca-gpt4", "ToMi", "theory_of_mind")
BYTES_PER_TOKEN = 3  # of the demo's 2,048 BPE, roughly


@pytest.fixture(scope="module")
def raws(wheel):
    """raws(source, part) gives (every document of that part before any limit, the rejections)."""
    read = {}

    def part_of(source, index=0):
        if (source, index) not in read:
            part = EXPERIMENT.sources[source].parts[index]
            with Archive(wheel(part.package), part.members) as archive:
                read[source, index] = list(reader_named(part.reader).read(archive)), dict(archive.rejected)
        return read[source, index]

    return part_of


def test_web_and_wikipedia_hold_a_thousand_originals_each(raws):
    for source in ("fineweb_edu_curated", "wikipedia"):
        documents, rejected = raws(source)
        assert len(documents) == 1000 and not rejected
        assert len({raw.text for raw in documents}) == 1000
    copies, _ = raws("fineweb_edu_curated", 1)
    originals = {raw.native_id: raw.text for raw in raws("fineweb_edu_curated")[0]}
    assert 70 <= len(copies) <= 130
    for raw in copies:  # the same letters, the sentences in another order
        original = Counter(re.findall(r"\w", originals[raw.meta["copy_of"]]))
        assert raw.text not in originals.values()
        assert (original - Counter(re.findall(r"\w", raw.text))).total() < 0.05 * original.total()


def test_codeio_scores_are_those_of_the_facts(raws):
    documents, _ = raws("starcoderdata")
    assert len(documents) == 3002 and sum(bool(raw.meta) for raw in documents) == 2508
    educational = Counter(raw.meta["educational"] for raw in documents if raw.meta)
    assert educational == {4: 239, 5: 978, 6: 641, 7: 604, 8: 45, 9: 1}


def test_text_compression_has_fifty_of_each_type(raws):
    documents, rejected = raws("fineweb_edu_random")
    assert set(Counter(raw.meta["type"] for raw in documents).values()) == {50} and len(documents) == 400
    assert not rejected


def test_wiki_and_factbook_counts(raws):
    articles, _ = raws("structured_wikipedia")
    topics = Counter(raw.meta["topic"] for raw in articles)
    assert len(articles) == 10_033 and len(topics) == 12 and topics["People"] == 1828 and topics["Mathematics"] == 256
    records, rejected = raws("structured_wikipedia", 1)
    assert len({raw.native_id.split(":")[0] for raw in records}) == 254
    assert rejected == {"unnamed": 2}  # the European Union and the world
    assert not [raw for raw in records if re.search(r"</?(p|br|em|strong|b)\b|&nbsp;", raw.text)]


def test_abstracts_and_dialogues_counts(raws):
    abstracts = [raw.text for raw in raws("pes2o")[0]]
    assert len(abstracts) == 254 + 362
    dialogues, rejected = raws("ultrachat")
    assert Counter(raw.meta["type"] for raw in dialogues) == {"akoksal/LongForm": 160, "parable": 1632}
    assert rejected == {"not_allowed": 320}
    assert all(raw.text.startswith("User: ") and "\n\nAssistant: " in raw.text for raw in dialogues)


def test_cli_answers_are_json(raws):
    documents, _ = raws("stackexchange")
    assert 4_300 <= len(documents) <= 4_500
    for raw in documents:
        json.loads(raw.text.split("```json\n")[1].removesuffix("```"))


def test_every_sql_query_answers_on_the_real_database(raws, wheel):
    database = sqlite3.connect(":memory:")
    with zipfile.ZipFile(wheel("mendeleev")) as file:
        database.deserialize(file.read("mendeleev/elements.db"))
    documents, _ = raws("sqale")
    assert len(documents) > 1000 and len(Counter(raw.meta["template"] for raw in documents)) >= 12
    for raw in documents:
        assert database.execute(raw.text.split("\n\n")[-1]).fetchone()


def test_docstrings_are_found_in_number(raws):
    documents, _ = raws("finemath")
    assert 1_000 <= len(documents) <= 1_200
    assert all(len(raw.text) > 400 for raw in documents)


def test_the_demo_has_enough_of_everything_and_nothing_non_commercial(wheel, make_spec, tmp_path):
    documents = text_bytes = 0
    for name, source in EXPERIMENT.sources.items():
        wheels = []
        for package in sorted({part.package for part in source.parts}):
            folder = tmp_path / f"wheel-{package}"
            if not folder.exists():
                folder.mkdir()
                (folder / wheel(package).name).symlink_to(wheel(package))
                files, metrics = list_files(folder, {}), {"package": package}
                Manifest(
                    stage="download", command="wheel", name=package, fingerprint="0", components={}, files=files,
                    metrics=metrics, run={}, folder=folder,
                ).write()  # fmt: skip
            wheels.append(folder)
        config = {"name": name, "source": source, "seed": EXPERIMENT.seed}
        manifest = execute(make_spec("download", "ingest", name, config, {"wheels": wheels}), tmp_path / name)
        for row in read_rows([manifest.path(TABLE)]):
            assert not [banned for banned in NON_COMMERCIAL if banned in row["text"] or banned in row["meta"]]
            assert row["licence"] and "NC" not in row["licence"]
        documents += manifest.metrics["documents"]
        text_bytes += manifest.metrics["bytes"]
        for mixture, pressure in (("curated", 3), ("uncurated", 1.3)):
            share = EXPERIMENT.mixtures[mixture].sources.get(name)
            if share:
                assert manifest.metrics["bytes"] / BYTES_PER_TOKEN >= pressure * share.tokens, (name, mixture)
    assert 4_000 <= documents <= 4_600
    assert 4_800_000 <= text_bytes <= 6_000_000


def test_the_demo_reads_only_members_it_names(wheel):
    members = [path for source in EXPERIMENT.sources.values() for part in source.parts for path in part.members]
    assert not [path for path in members if any(banned in path for banned in NON_COMMERCIAL)]
    evals = [part for source in EXPERIMENT.sources.values() for part in source.parts if part.package == "evals"]
    assert evals and not [path for part in evals for path in part.members if "*" in path]
