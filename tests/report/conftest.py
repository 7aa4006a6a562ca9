"""A whole small results tree, written by hand in the shapes of the stages' contracts."""

import functools
import hashlib
import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from trellis.command import execute
from trellis.documents import write_table
from trellis.evaluate import METRICS
from trellis.experiment.section import complete
from trellis.experiment.whole import load_experiment
from trellis.manifest import Manifest, list_files
from trellis.records import write_records

ROOT = Path(__file__).parents[2]
SHOWN = ("parse", "schema_valid", "exact", "leaf_f1", "key_f1", "truncated")
RUN = {
    "seconds": 12.5,
    "peak_mib": 640.2,
    "threads": 1,
    "python": "3.11.7",
    "versions": {"torch": "2.13.0", "pyarrow": "25.0.0"},
    "commit": "25270a6b1c2d",
    "hardware": "AMD EPYC",
}


class Study:
    """Results on disk; `folders` are in the plan's order. Change `experiment`, `primary` or `add` before building."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.experiment = complete(load_experiment(ROOT / "config" / "experiments" / "demo.yaml"))
        self.folders: list[Path] = []
        self.repositories: dict[str, dict] = {}
        self.models = list(self.experiment["models"])
        self.primary = {
            **self.experiment["prereg"]["primary"],
            **{"difference": 0.083, "low": 0.021, "high": 0.146, "p": 0.0093, "n_items": 200, "n_clusters": 187},
            **{"treatment_mean": 0.52, "control_mean": 0.437, "seeds": {"treatment": 1, "control": 1}},
            **{"items_low": 0.03, "items_high": 0.139, "mde": 0.071, "equivalent": False, "mcnemar_p": 0.012},
            **{"enough_seeds": False, "confidence": 0.95, "resamples": 10_000},
            "components": {
                **{"items_se": 0.028, "treatment_seed_se": None, "control_seed_se": None},
                **{"overlap_se": None, "total_se": 0.028, "df": 186.0},
            },
        }
        self.knowledge: list[dict] = []
        self.rates = {model: 0.52 - 0.04 * index for index, model in enumerate(self.models)}

    def add(self, stage, command, name, files=None, metrics=None, config=None, **run) -> Manifest:
        """Publishes one result; `files` are JSON values (.json), lists of objects (.jsonl) or writers that take the path."""
        folder = self.root / stage / f"{name}-{command}"
        for path, content in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(folder / path)
            elif path.endswith(".jsonl"):
                write_records(folder / path, content)
            else:
                (folder / path).write_text(json.dumps(content))
        folder.mkdir(parents=True, exist_ok=True)
        made = Manifest(
            stage=stage,
            command=command,
            name=name,
            fingerprint=hashlib.sha256(f"{stage}{command}{name}".encode()).hexdigest(),
            components={"config": config or {}},
            files=list_files(folder, {}),
            metrics=metrics or {},
            run={**RUN, **run},
            folder=folder,
        )
        made.write()
        if folder not in self.folders:
            self.folders.append(folder)
        return made

    def build_all(self) -> "Study":
        """Every job of the demo's plan."""
        self.add_data()
        self.add_curation()
        self.add_training()
        self.add_evaluation()
        return self

    def config(self, samples=12) -> dict:
        config = {"experiment": self.experiment, "samples": samples, "digest": "d1" * 32}
        return {**config, "repositories": self.repositories}

    def add_data(self) -> None:
        lock = json.loads((ROOT / "config" / "locks" / f"{self.experiment['lock']}.json").read_text())
        for package, pin in lock["packages"].items():
            self.add("download", "wheel", f"wheel-{package}", config={"package": package, "pin": pin})
        for number, source in enumerate(self.experiment["sources"]):
            metrics = {
                "source": source,
                "documents": 500 + number,
                "bytes": 1_234_567 * (number + 1),
                "rejected": {"too_short": 7, "bad_encoding": 1} if number % 2 else {},
                "sampled_from": 900,
            }
            self.add("download", "ingest", source, metrics=metrics)
        self.add("tokenize", "tokenizer", "tokenizer", metrics={"vocab_size": 2048})

    def add_curation(self) -> None:
        rubric = {"version": 1, "labelled": 800, "classes": {}}
        rubrics = {
            "topics": {
                **rubric,
                "scale": "multi_label",
                "heuristic": "keywords",
                "origins": {"heuristic": 760, "real": 40},
            },
            "complexity": {**rubric, "scale": "ordinal", "heuristic": "cues", "origins": {"heuristic": 800}},
            "quality": {**rubric, "scale": "ordinal", "heuristic": None, "labelled": 75, "origins": {"real": 75}},
        }
        self.add("classify", "label", "labels-all", metrics={"documents": 800, "rubrics": rubrics})
        labels = {
            "documents": 81,
            "micro_f1": 0.8123,
            "micro_f1_at_half": 0.79,
            "macro_f1": None,
            "labels_that_occur": 9,
        }
        level = {"documents": 80, "spearman": 0.71, "mae": 0.42, "mae_of_the_mean": 0.8}
        quality = {
            "topics": {**labels, "by_origin": {"heuristic": labels, "real": {**labels, "documents": 4}}},
            "complexity": {**level, "by_origin": {"heuristic": level}},
            "quality": {**level, "documents": 8, "by_origin": {"real": level}},
        }
        self.add("classify", "train", "classifier-all", metrics={"rubrics": quality}, seconds=48.0, peak_mib=1504.0)
        pairs = [{"removed": "ultrachat", "kept": "wikipedia", "documents": 31}]
        counts = {
            name: {"tokens": 70_001 + i, "tokens_reference": 50_001 + i}
            for i, name in enumerate(self.experiment["sources"])
        }
        self.add("filter", "features", "features", metrics={"sources": counts})
        self.add("filter", "duplicates", "duplicates", metrics={"pairs": pairs, "sources": {}, "clusters": {}})
        for name, mixture in self.experiment["mixtures"].items():
            sources = {}
            for source in sorted(self.experiment["sources"]):
                share = mixture["sources"].get(source)
                documents = {
                    "raw": 500,
                    "duplicates": 31,
                    "contaminated": 4,
                    "held_out": 10,
                    "unscored": 7,
                    "outside": 53,
                }
                documents |= {"available": 395, "selected": 200 if share else 0}
                quota = {"available_tokens": 71_000, "selected_tokens": 32_100, "selected_share": 0.4013}
                ruled = share and share["select"] != "random"
                group = {"name": "formal_sciences", "share": 0.2, "cap": 0.45, "selected_share_overlapping": 0.613}
                level = {"name": "2.5", "share": 0.4, "cap": None}
                sources[source] = {
                    "select": share["select"] if share else None,
                    "groups": [{**group, **quota}] if ruled else [],
                    "bins": [{**level, **quota}] if ruled else [],
                    "asked_tokens": share["tokens"] if share else 0,
                    "repeat": share["repeat"] if share else 1.0,
                    "available_tokens": 395 * 400,
                    "selected_tokens": 200 * 400,
                    "granted_tokens": share["tokens"] // 256 * 256 if share else 0,
                    "selection_ratio": 0.5,
                    "documents": documents,
                    "tokens": {key: 400 * number for key, number in documents.items()},
                    "complexity": {"pool": 2.1, "selected": 2.9},
                    "relevance": {"pool": 0.11, "selected": None},
                }
            self.add(
                "filter", "select", f"select-{name}", files={"plan.json": {"arm": mixture["arm"], "sources": sources}}
            )
            packed = [
                {"source": source, "asked_tokens": share["tokens"], "granted_tokens": share["tokens"] // 256 * 256}
                | {"rows": share["tokens"] // 256, "repeat": share["repeat"], "documents": 210, "unique_documents": 200}
                | {"unique_tokens": 80_003, "left_over_tokens": 99, "cut_documents": 3, "cut_in_reading_order": 41}
                | {"licences": ["CC-BY-4.0"]}
                for source, share in mixture["sources"].items()
            ]
            self.add("tokenize", "pack", name, metrics={"context": 256, "sources": packed, "validation": []})

    def add_training(self) -> None:
        for index, model in enumerate(self.models):
            lines = []
            for step in range(1, 37):
                loss = 4.6 + 3.0 * math.exp(-step / 9) + 0.05 * math.sin(7 * step + index) + 0.15 * index
                lines.append({"step": step, "tokens": step * 8192, "loss": loss, "lr": 1e-3, "gradient_norm": 1.0})
                if step % 6 == 0:
                    measured = {"loss": 4.5 + 0.1 * index, "bits_per_byte": 1.9 + 0.02 * index}
                    found = dict.fromkeys(self.experiment["sources"], measured)
                    validation = {"loss": loss + 0.1, "bits_per_byte": 1.95, "sources": found}
                    lines.append({"step": step, "tokens": step * 8192, "validation": validation})
            metrics = {"parameters": 958_592 + 100_000 * index, "steps": 36, "tokens": 294_912}
            metrics |= {"training_flops": 2.1e12, "final_loss": 4.7, "validation_loss": 4.81, "bits_per_byte": 1.953}
            speed = {"tokens_per_second": 151_234.4, "mfu": 0.463, "hfu": 0.471, "peak_gpu_mib": 21_503.2, "gpus": 1}
            speed |= {"hardware": "NVIDIA H100 80GB HBM3"}
            if index:
                speed = dict.fromkeys(speed) | {"tokens_per_second": 5_210.0, "gpus": 0, "hardware": RUN["hardware"]}
            self.add("pretrain", "train", model, {"metrics.jsonl": lines}, metrics, **speed, seconds=38.0 + index)
        for model in self.models:
            for seed in self.experiment["sft"]["training"]["seeds"]:
                lines = [{"step": s, "tokens": s * 900, "loss": 3.5 * math.exp(-s / 60) + 0.4} for s in range(1, 301)]
                metrics = {"parameters": 958_592, "examples": 9600, "tokens": 1_200_000, "assistant_tokens": 400_000}
                metrics |= {"steps": 300, "data_sha256": "a" * 64, "order_sha256": "b" * 64, "final_loss": 0.41}
                metrics |= {"tokens_sha256": "c" * 64, "tokenizer_sha256": "d" * 64, "trained_parameters": 958_592}
                metrics |= {"template": {"name": "plain", "sha256": "e" * 64}}
                metrics |= {"hyperparameters": {"seed": seed, "batch": 8, "learning_rate": 1e-3}}
                self.add("sft", "train", f"{model}-s{seed}", {"metrics.jsonl": lines}, metrics, seconds=65.0)

    def items(self) -> list[dict]:
        """200 items by split; one in two has a gold object."""
        schema = {
            "type": "object",
            "properties": {"city": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["city", "count"],
            "additionalProperties": False,
        }
        return [
            {
                "id": f"schema-{split}-{number:05d}",
                "suite": "schema",
                "split": split,
                "schema_id": f"{split}-{number:03d}",
                "cluster": f"{split}-{number:03d}",
                "kind": "schema",
                "stratum": "flat",
                "schema": schema,
                "messages": [{"role": "user", "content": f"{json.dumps(schema)}\ncity is Lima\ncount is {number}"}],
                "gold": {"city": "Lima", "count": number} if number % 2 else None,
                "answer": f'{{"city":"Lima","count":{number}}}' if number % 2 else None,
                "check": {},
            }
            for split in ("seen", "unseen")
            for number in range(200)
        ]

    def output(self, model: str, number: int) -> str:
        """What a model writes for the item of this number: right, wrong in value, wrong in type, or cut off."""
        return (
            f'{{"city": "Lima", "count": {number}}}',
            '{"city": "Lima", "count": 999999}',
            '{"city": "Lima", "count": "many"}',
            '{"city": "Lima", "cou',
        )[number % 4 if number % 5 else 0]

    def add_evaluation(self) -> None:
        items = self.items()
        metrics = {"baselines": {"{}": 0.0125, "any constant, unfiltered": 0.31}, "excluded": 4_321}
        self.add("evaluate", "items", "items-schema", {"items.jsonl": items}, metrics)
        schema = pa.schema(
            [(name, pa.string()) for name in ("id", "suite", "split", "stratum", "cluster", "mode")]
            + [(name, pa.float64()) for name in METRICS]
        )
        for model in self.models:
            generations, rows = [], []
            for mode in ("free", "constrained"):
                for number, item in enumerate(items):
                    output = self.output(model, number % 200) if mode == "free" else "{}"
                    kind = 3 if not output.endswith("}") else 2 if "many" in output else 1 if "999999" in output else 0
                    generation = {"id": item["id"], "mode": mode, "output": output, "n_in": 61, "n_out": 17}
                    generations.append(generation | {"stop": "length" if kind == 3 else "eos", "shots": 0})
                    row = {name: item[name] for name in ("id", "suite", "split", "stratum", "cluster")}
                    row |= {"mode": mode, **dict.fromkeys(METRICS)}
                    row |= {"parse": float(kind < 3), "schema_valid": float(kind < 2), "key_f1": float(kind < 3)}
                    if item["gold"]:
                        row |= {"exact": float(kind == 0), "leaf_f1": 0.5}
                    rows.append(row | {"truncated": float(kind == 3)})
            self.add("evaluate", "generate", f"generate-{model}-s0-schema", {"generations.jsonl": generations})
            write = functools.partial(write_table, schema=schema, rows=rows)
            self.add("evaluate", "score", f"score-{model}-s0", {"scores.parquet": write})
        self.add("evaluate", "compare", "compare", {"statistics.json": self.statistics()})

    def statistics(self) -> dict:
        """In the shape of the contract of evaluate_compare."""
        table, decomposition, taxes = [], [], []
        for model in self.models:
            for variant, mode in (("tuned", "free"), ("tuned", "constrained"), ("base", "free")):
                for metric in SHOWN:
                    for split in ("all", "seen", "unseen"):
                        mean = self.rates[model] + 0.2 * (metric == "parse") - 0.1 * (metric == "exact")
                        mean += 0.15 * (split == "seen") - 0.2 * (variant == "base")
                        row = {"model": model, "variant": variant, "suite": "schema", "split": split, "mode": mode}
                        row |= {"metric": metric, "mean": mean, "seeds": int(variant == "tuned"), "n_clusters": 187}
                        row |= {"low": mean - 0.06, "high": mean + 0.055, "n_items": 98 if metric == "exact" else 200}
                        table.append(row | {"exploratory": True})
            shares = {"correct": 0.25, "wrong_value": 0.25, "bad_schema": 0.2, "no_parse": 0.1, "truncated": 0.2}
            where = {"model": model, "variant": "tuned", "suite": "schema", "split": "unseen", "mode": "free"}
            decomposition.append({**where, "items": 200, **shares})
            tax = {"model": model, "suite": "schema", "split": "unseen", "metric": "exact", "free": 0.4}
            taxes.append(tax | {"constrained": 0.46, "difference": 0.06, "low": 0.01, "high": 0.11})
        secondary = [
            {**self.primary, **contrast, "holm_p": 0.031, "holm_significant": True, "enough_seeds": True}
            for contrast in self.experiment["prereg"]["secondary"]
        ]
        where = {key: self.primary[key] for key in ("suite", "split", "mode", "metric")}
        bins = [
            {"low": low, "high": low + 0.2, "items": 40, "models": {m: {"mean": 0.3 + low, "low": 0.2, "high": 0.6}}}
            for m in self.models[:1]
            for low in (0.0, 0.2, 0.4)
        ]
        return {
            "primary": self.primary,
            "secondary": secondary,
            "prereg": {"sha256": "e5" * 32, "entry": self.experiment["prereg"]},
            "method": {
                **{"name": "Student's intervals", "resamples": 10_000, "confidence": 0.95, "power": 0.8, "seed": 42},
                **{"margin": 0.03, "minimum_seeds": 3},
            },
            "table": table,
            "interactions": [{**self.primary, "against": "seen"}],
            "seeds": [{"model": model, **where, "by_seed": {"0": self.rates[model]}} for model in self.models],
            "by_similarity": [{**{key: where[key] for key in ("suite", "mode", "metric")}, "bins": bins}],
            "decomposition": decomposition,
            "format_tax": taxes,
            "knowledge": self.knowledge,
        }


@pytest.fixture
def study(tmp_path) -> Study:
    """An empty study; `build_all` fills it."""
    return Study(tmp_path / "results")


@pytest.fixture
def report(make_spec, tmp_path):
    """report(study) -> (the manifest of its report, the page)."""

    def build(study: Study, samples: int = 12, out: str = "report") -> tuple[Manifest, str]:
        spec = make_spec("report", "build", "report", study.config(samples), {"results": study.folders})
        made = execute(spec, tmp_path / out)
        return made, made.path("report.html").read_text(encoding="utf-8")

    return build
