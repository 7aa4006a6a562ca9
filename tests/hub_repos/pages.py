"""Pages, papers and encyclopedias: text in one column or in a tree."""

import gzip
from collections.abc import Callable
from random import Random

import pyarrow as pa

from hub_repos.files import DECOY, SHORT, Row, gzipped, jsonl, make_rows, parquet, random_uuid, zipped
from hub_repos.text import ADJECTIVES, FIRST, NOUNS, passage, pick_theme, sentence, title

# Folder and licence of each source; files of the second group end in jsonl.gz.
COMMA = {
    **{"arxiv_abstracts": "CC0", "arxiv_papers": "CC BY 4.0", "doab": "CC BY 4.0", "libretexts": "CC BY-SA 4.0"},
    **{"news": "CC BY 4.0", "peS2o": "CC BY 4.0", "pubmed": "CC BY-SA 4.0", "stackexchange": "CC BY-SA 4.0"},
    **{"wikimedia": "CC BY-SA 4.0", "youtube": "CC BY 3.0", "ubuntu_irc": "Public Domain"},
}
COMMA_LINES = {
    **{"caselaw_access_project": "Public Domain", "pre_1929_books": "Public Domain", "regulations": "Public Domain"},
    **{"project_gutenberg": "Public Domain", "uk_hansard": "Open Parliament Licence", "usgpo": "Public Domain"},
}
TEXT = {"text": pa.string(), "id": pa.string()}
FINEWEB = {
    **TEXT,
    **dict.fromkeys(["dump", "url", "file_path", "language"], pa.string()),
    "language_score": pa.float64(),
    "token_count": pa.int64(),
    "score": pa.float64(),
    "int_score": pa.int64(),
}
FINEMATH = {
    **{"url": pa.string(), "fetch_time": pa.int64(), "content_mime_type": pa.string(), "warc_filename": pa.string()},
    **{"warc_record_offset": pa.int32(), "warc_record_length": pa.int32(), "text": pa.string()},
    **{"token_count": pa.int32(), "char_count": pa.int32(), "metadata": pa.string(), "score": pa.float64()},
    **{"int_score": pa.int64(), "crawl": pa.string(), "snapshot_type": pa.string(), "language": pa.string()},
    "language_score": pa.float64(),
}
BAD_TEXT = [{"text": None}, {"text": SHORT}, {"text": ""}]


def fineweb(scale: float) -> dict[str, bytes]:
    def page(dump: str) -> Callable[[Random, int], Row]:
        def make(r: Random, number: int) -> Row:
            text, score = passage(r), r.uniform(2.5, 5)
            return {
                "text": text,
                "id": f"<urn:uuid:{random_uuid(r)}>",
                "dump": dump,
                "url": f"https://www.{r.choice(NOUNS)}-{number}.example/{r.choice(NOUNS)}",
                "file_path": f"s3://commoncrawl/crawl-data/{dump}/segments/{r.randrange(10**10)}.warc.gz",
                **{"language": "en", "language_score": r.uniform(0.7, 1), "token_count": len(text) // 4},
                **{"score": score, "int_score": round(score)},
            }

        return make

    files = {}
    for number in range(4):
        path = f"sample/100BT/00{number}_00000.parquet"
        files[path] = parquet(make_rows(path, 35 * scale, page("CC-MAIN-2021-04"), BAD_TEXT), FINEWEB)
        path = f"data/CC-MAIN-2024-18/000_0000{number}.parquet"
        files[path] = parquet(make_rows(path, 35 * scale, page("CC-MAIN-2024-18"), BAD_TEXT), FINEWEB)
    decoys = ["sample/10BT/000_00000.parquet", "data/CC-MAIN-2024-10/000_00000.parquet"]
    return files | dict.fromkeys(decoys, DECOY)


def finemath(scale: float) -> dict[str, bytes]:
    def page(r: Random, number: int) -> Row:
        text, crawl = passage(r, "mathematics", level=r.randint(2, 3)), "CC-MAIN-2023-23"
        text += (
            f"\n\nGiven $x_{{{r.randint(1, 99)}}} = {r.randint(2, 999)}$, it follows that $x^2 > {r.randint(2, 99)}$."
        )
        return {
            **{"url": f"https://math.example/{number}", "fetch_time": 1685224000000000000 + number},
            **{"content_mime_type": "text/html", "warc_filename": f"crawl-data/{crawl}/{r.randrange(10**9)}.warc.gz"},
            **{"warc_record_offset": r.randrange(10**9), "warc_record_length": len(text), "text": text},
            **{"token_count": len(text) // 4, "char_count": len(text), "metadata": '{"found_math": true}'},
            **{"score": r.uniform(4, 5), "int_score": 4, "crawl": crawl, "snapshot_type": "latest"},
            **{"language": "en", "language_score": r.uniform(0.7, 1)},
        }

    paths = [f"finemath-4plus/train-0000{number}-of-00064.parquet" for number in range(3)]
    files = {path: parquet(make_rows(path, 40 * scale, page, BAD_TEXT), FINEMATH) for path in paths}
    return files | dict.fromkeys(["finemath-3plus/train-00000-of-00128.parquet"], DECOY)


def pes2o(scale: float) -> dict[str, bytes]:
    def paper(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        return {
            "added": "2023-01-03T00:36:27.000Z",
            "created": f"{r.randint(1990, 2022)}-01-01T00:00:00.000Z",
            "id": str(r.randrange(10**9)),
            "source": "s2orc/train" if number % 2 else "s2ag/train",
            "text": f"{title(r, theme)}\n{passage(r, theme, level=r.randint(2, 3))}",
            "version": "v2",
        }

    paths = [f"data/v2/train-{number:05d}-of-00020.json.gz" for number in (0, 1, 10)]
    bad = [*BAD_TEXT, {"text": "x" * 120_000}]
    files = {path: gzipped(jsonl(make_rows(path, 40 * scale, paper, bad))) for path in paths}
    # Lines that are no row: they are counted, and the lines after them are read.
    files[paths[0]] = gzipped(b"not json\n" + gzip.decompress(files[paths[0]]) + b'"a string"\n\n')
    return files | dict.fromkeys(["data/v1/train-00000.json.gz", "data/v2/validation-0.json.gz", "peS2o.py"], DECOY)


def wikipedia(scale: float) -> dict[str, bytes]:
    def article(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        name = title(r, theme)
        url = f"https://en.wikipedia.org/wiki/{name.replace(' ', '_')}"
        return {"id": str(1000 + number), "url": url, "title": name, "text": passage(r, theme, level=1)}

    columns = dict.fromkeys(["id", "url", "title", "text"], pa.string())
    paths = [f"20231101.en/train-0000{number}-of-00041.parquet" for number in range(3)]
    files = {path: parquet(make_rows(path, 40 * scale, article, BAD_TEXT), columns) for path in paths}
    return files | dict.fromkeys(["20231101.de/train-00000-of-00020.parquet"], DECOY)


def structured(scale: float) -> dict[str, bytes]:
    def part(kind: str, **about: object) -> Row:
        return {"type": kind, **about}

    def section(r: Random, theme: str, depth: int) -> Row:
        parts = [part("paragraph", value=passage(r, theme, 350, 1)), part("paragraph", value=sentence(r, theme))]
        below = [section(r, theme, depth - 1)] if depth else []
        return part("section", name=f"{r.choice(ADJECTIVES)} {r.choice(NOUNS)}".title(), has_parts=parts + below)

    def infobox(r: Random) -> Row:
        def field_of(name: str) -> Row:
            return part("field", name=name, value=f"{r.choice(NOUNS)} {r.randint(1, 999)}")

        several = part("field", name="Known for", values=r.sample(NOUNS, 3), value=None)
        # A name twice, and fields inside fields: neither may be lost.
        nested = part("section", name="Details", has_parts=[field_of("Area"), field_of("Area"), several])
        deeper = part("field", name="Leader", has_parts=[field_of("Since"), part("image", name="Portrait")])
        return part("infobox", name=f"Infobox {r.choice(NOUNS)}", has_parts=[field_of("Born"), nested, deeper])

    def article(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        name, abstract = title(r, theme), passage(r, theme, 400, 1)
        first = part("section", name="Abstract", has_parts=[part("paragraph", value=abstract)])
        return {
            **{"name": name, "identifier": 70000 + number, "abstract": abstract, "description": title(r, theme)},
            **{
                "url": f"https://en.wikipedia.org/wiki/{name.replace(' ', '_')}",
                "date_modified": "2024-09-16T00:00:00Z",
            },
            **{"in_language": {"identifier": "en"}, "is_part_of": {"identifier": "enwiki"}},
            **{"main_entity": {"identifier": f"Q{r.randrange(10**6)}"}, "version": {"identifier": r.randrange(10**9)}},
            "infoboxes": [infobox(r) for _ in range(number % 3)] or None,
            "sections": [first, *(section(r, theme, 1) for _ in range(2))],
            "license": [{"name": "Creative Commons Attribution Share Alike 4.0", "identifier": "CC-BY-SA-4.0"}],
        }

    bare = {"abstract": None, "description": None, "infoboxes": None}
    bad = [{**bare, "sections": None}, {**bare, "sections": []}, {"name": None, "sections": None, "abstract": None}]
    files = {}
    for number in range(2):
        names = [f"enwiki_namespace_0/enwiki_namespace_0_{number}{half}.jsonl" for half in range(2)]
        members = {name: jsonl(make_rows(name, 25 * scale, article, bad)) for name in names}
        files[f"20240916.en/enwiki_namespace_0_{number}.zip"] = zipped(members)
    return files | dict.fromkeys(["20240916.fr/frwiki_namespace_0_0.zip"], DECOY)


def comma(scale: float) -> dict[str, bytes]:
    def document(source: str) -> Callable[[Random, int], Row]:
        def make(r: Random, number: int) -> Row:
            url = f"https://{source}.example/{number}"
            return {
                **{"id": f"{source}-{number}", "text": passage(r), "source": source},
                **{"added": "2025-03-01T00:00:00", "created": "2020-01-01T00:00:00"},
                "metadata": {"license": (COMMA | COMMA_LINES)[source], "url": url, "authors": [r.choice(FIRST)]},
            }

        return make

    bad = [*BAD_TEXT, {"metadata": None}, {"metadata": {"url": "https://no-licence.example"}}]
    files = {}
    for source in COMMA | COMMA_LINES:
        for number in range(2):
            path = f"{source}/{source}-{number:04d}.{'json' if source in COMMA else 'jsonl'}.gz"
            files[path] = gzipped(jsonl(make_rows(path, 5 * scale, document(source), bad)))
    return files | dict.fromkeys(["oercommons/oercommons-0000.json.gz"], DECOY)
