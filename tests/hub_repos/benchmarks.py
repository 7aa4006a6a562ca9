"""What is evaluated on: real schemas, as text in a column, and the knowledge tasks' questions with their answers."""

import json
from collections.abc import Callable
from random import Random

import pyarrow as pa

from hub_repos.files import DECOY, Row, make_rows, parquet
from hub_repos.text import ADJECTIVES, FIRST, NOUNS, PLACES, THEMES, VERBS, passage, pick_theme, sentence

TEXTS = pa.list_(pa.string())
CHOICES = pa.struct({"text": TEXTS, "label": TEXTS})
SPLITS = ("train", "validation", "test")


def json_schemas(scale: float) -> dict[str, bytes]:
    def schema(r: Random, size: int) -> Row:
        leaves = [
            {"type": "integer", "minimum": r.randint(0, 9)},
            {"type": "string", "minLength": 1, "maxLength": 20},
            {"enum": r.sample(PLACES, 3)},
            {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3},
        ]
        names = [
            f"{verb}{noun.title()}" for verb, noun in zip(r.sample(VERBS, size), r.sample(NOUNS, size), strict=True)
        ]
        properties = {name: r.choice(leaves) for name in names}
        if size > 4:
            inner = schema(r, 3)
            properties[names[-1]] = {key: inner[key] for key in ("type", "properties", "required")}
        about = {"$schema": "http://json-schema.org/draft-07/schema#", "description": sentence(r, "software")}
        return {**about, "type": "object", "properties": properties, "required": names[: (size + 1) // 2]}

    def row(folder: str) -> Callable[[Random, int], Row]:
        def make(r: Random, number: int) -> Row:
            made = schema(r, r.randint(2, 4) if folder == "Github_easy" else r.randint(5, 8))
            if number % 5 == 4:
                del made["required"]  # which `{}` satisfies, as it does a third of the set
            return {"json_schema": json.dumps(made), "unique_id": f"{folder}---o{r.randrange(10**5)}"}

        return make

    bad = [
        {"json_schema": text} for text in ("{", None, '{"type": "no such type"}', '{"$ref": "https://example.org/s"}')
    ]
    files = {}
    for folder in ("Github_easy", "Github_medium"):
        for split in ("train", "val", "test"):
            path = f"{folder}/{split}-00000-of-00001.parquet"
            rows = make_rows(path, 12 * scale, row(folder), bad)
            files[path] = parquet(rows, dict.fromkeys(("json_schema", "unique_id"), pa.string()))
    decoys = ["Github_trivial/test-00000-of-00001.parquet", "Glaiveai2K/test-00000-of-00001.parquet"]
    return files | dict.fromkeys([*decoys, "data/Github_easy-00000-of-00001.parquet"], DECOY)


def lambada(scale: float) -> dict[str, bytes]:
    def text(r: Random, number: int) -> Row:
        return {"text": f"{passage(r, chars=300)} And so {r.choice(FIRST)} asked for the {r.choice(NOUNS)}"}

    path = "default/test/0000.parquet"
    files = {path: parquet(make_rows(path, 30 * scale, text, []), {"text": pa.string()})}
    return files | dict.fromkeys(["data/lambada_test_en.jsonl", "fr/test/0000.parquet"], DECOY)


def piqa(scale: float) -> dict[str, bytes]:
    def question(r: Random, number: int) -> Row:
        goal = f"How does one reach the {r.choice(ADJECTIVES)} {r.choice(NOUNS)}?"
        return {"goal": goal, "sol1": sentence(r, "physics"), "sol2": sentence(r, "business"), "label": r.randint(0, 1)}

    columns = dict.fromkeys(("goal", "sol1", "sol2"), pa.string()) | {"label": pa.int64()}
    return _splits("piqa_{}.parquet", scale, question, columns)


def arc(scale: float) -> dict[str, bytes]:
    def question(r: Random, number: int) -> Row:
        theme, labels = pick_theme(r), ["1234", "ABCD"][number % 5 > 0]  # some of its questions have numbers
        choices = {"text": r.sample(THEMES[theme], 4), "label": list(labels)}
        asked = f"{sentence(r, theme)} What {r.choice(VERBS)} it?"
        return {"id": f"MADE_{number}", "question": asked, "choices": choices, "answerKey": r.choice(labels)}

    columns = dict.fromkeys(("id", "question", "answerKey"), pa.string()) | {"choices": CHOICES}
    return {
        path: data
        for folder in ("ARC-Challenge", "ARC-Easy")
        for path, data in _splits(folder + "/{}-00000-of-00001.parquet", scale, question, columns).items()
    }


def sciq(scale: float) -> dict[str, bytes]:
    names = ("question", "distractor3", "distractor1", "distractor2", "correct_answer", "support")

    def question(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        asked = [f"What {r.choice(VERBS)} the {r.choice(NOUNS)}?", *r.sample(THEMES[theme], 4), sentence(r, theme)]
        return dict(zip(names, asked, strict=True))

    return _splits("data/{}-00000-of-00001.parquet", scale, question, dict.fromkeys(names, pa.string()))


def winogrande(scale: float) -> dict[str, bytes]:
    def question(r: Random, number: int) -> Row:
        one, other = r.sample(FIRST, 2)
        text = f"{one} met {other} in {r.choice(PLACES)}, because _ {r.choice(VERBS)} the {r.choice(NOUNS)}."
        return {"sentence": text, "option1": one, "option2": other, "answer": r.choice("12")}

    columns = dict.fromkeys(("sentence", "option1", "option2", "answer"), pa.string())
    files = _splits("winogrande_xl/{}-00000-of-00001.parquet", scale, question, columns)
    return files | {"winogrande_debiased/validation-00000-of-00001.parquet": DECOY}


def hellaswag(scale: float) -> dict[str, bytes]:
    names = ("activity_label", "ctx_a", "ctx_b", "ctx", "source_id", "split", "split_type", "label")

    def question(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        first, second = sentence(r, theme), f"then the {r.choice(NOUNS)}"
        texts = (f"{r.choice(ADJECTIVES)} {r.choice(NOUNS)}".capitalize(), first, second, f"{first} {second}")
        about = (*texts, f"made~{number}", "val", "indomain", r.choice("0123"))
        return {"ind": number, "endings": [sentence(r, theme).lower() for _ in range(4)]} | dict(
            zip(names, about, strict=True)
        )

    columns = {"ind": pa.int32(), **dict.fromkeys(names, pa.string()), "endings": TEXTS}
    return _splits("data/{}-00000-of-00001.parquet", scale, question, columns)


def _splits(
    path: str, scale: float, make: Callable[[Random, int], Row], columns: dict[str, pa.DataType]
) -> dict[str, bytes]:
    """A file for each split; the questions are sound, because a benchmark's are."""
    paths = [path.format(split) for split in SPLITS]
    return {each: parquet(make_rows(f"{each} {sorted(columns)}", 20 * scale, make, []), columns) for each in paths}
