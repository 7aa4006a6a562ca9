"""The whole experiment: its sections, and what must hold between them."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from trellis.budget import to_select
from trellis.errors import TrellisError
from trellis.experiment.classify import Classify
from trellis.experiment.evaluation import Evaluation
from trellis.experiment.filter import Filter
from trellis.experiment.mixture import Mixture
from trellis.experiment.models import Decoder, Model
from trellis.experiment.prereg import Preregistration, find_prereg, load_prereg
from trellis.experiment.pretraining import Pretraining
from trellis.experiment.reading import read_yaml
from trellis.experiment.section import Runtime, Section
from trellis.experiment.selection import RANDOM, rule_of
from trellis.experiment.sentences import first_sentence
from trellis.experiment.sft import CHATML_TOKENS, Sft
from trellis.experiment.sources import Source
from trellis.experiment.tokenizer import Tokenizer, WheelTokenizer

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class Experiment(Section):
    """One study, from its sources to its comparisons. These (`prereg`) are an entry of `config/prereg.yaml`, by the name of
    the experiment's file or by `preregistered_as`."""

    title: str
    lock: Name
    device: Runtime[Literal["cpu", "cuda", "auto"]]
    seed: NonNegativeInt = 42
    sources: dict[Name, Source] = Field(min_length=1)
    tokenizer: Tokenizer
    reference_tokenizer: WheelTokenizer | None = None
    classify: Classify
    filter: Filter
    mixtures: dict[Name, Mixture] = Field(min_length=1)
    pretraining: Pretraining
    models: dict[Name, Model] = Field(min_length=2)
    sft: Sft
    evaluation: Evaluation
    report_samples: NonNegativeInt = 12
    preregistered_as: str = ""
    prereg: Preregistration


class Machine(Section):
    """This machine: `gpu_model` is the GPU that training is pinned to, `any` takes whichever is there; `gpus` is how
    many of them one pretraining uses (`--resources gpu=N` must allow them); `downloads` is how many downloads may run at
    once (`--resources net=N` overrides it)."""

    gpu_model: str
    gpus: PositiveInt = 1
    downloads: PositiveInt = 4


class Config(Section):
    """`config/config.yaml`: which experiment, on which machine."""

    experiment: str
    machine: Machine


def load_config(path: Path, overrides: dict) -> Config:
    """`config.yaml` with Snakemake's `--config` on top. Raises TrellisError."""
    return _validated(Config, {**read_yaml(path), **overrides}, path)


def experiment_path(root: Path, experiment: str) -> Path:
    """The file of an experiment, given by name or path. Raises TrellisError when there is none."""
    folder = root / "config" / "experiments"
    path = root / experiment if experiment.endswith((".yaml", ".yml")) else folder / f"{experiment}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        close = difflib.get_close_matches(experiment, known, n=1)
        raise TrellisError(
            f"config/config.yaml: experiment: there is no experiment {experiment!r}"
            f"{f'; did you mean {close[0]}?' if close else ''} (allowed: {', '.join(known)}, or the path of a YAML file)"
        )
    return path


def load_experiment(path: Path) -> Experiment:
    """Raises TrellisError, in one sentence that names file and key, when anything in the file is wrong."""
    content = read_yaml(path)
    if "prereg" in content:
        raise TrellisError(f"{path}: prereg: what is compared stands in config/prereg.yaml; name an entry of it")
    written, name = find_prereg(path), str(content.get("preregistered_as") or path.stem)
    experiment = _validated(Experiment, {**content, "prereg": load_prereg(written, name, path)}, path)
    for key, problem in _contradictions(experiment):
        raise TrellisError(f"{path}: {key}: {problem}")
    for key, problem in _contrast_contradictions(experiment):
        raise TrellisError(f"{written}: {name}.{key}: {problem}")
    return experiment


def _contradictions(experiment: Experiment):
    """What each section alone cannot see, as (key, sentence)."""
    for name, mixture in experiment.mixtures.items():
        total = sum(share.tokens for share in mixture.sources.values())
        if total != mixture.tokens:
            yield f"mixtures.{name}.tokens", f"the sources sum to {total:,} tokens, not to {mixture.tokens:,}"
        for source in mixture.sources:
            if source not in experiment.sources:
                yield f"mixtures.{name}.sources.{source}", _not_there("source", source, experiment.sources)
    yield from _hub_contradictions(experiment)
    yield from _selection_contradictions(experiment)
    yield from _classifier_contradictions(experiment)
    named = {
        "filter.source_priority": experiment.filter.source_priority,
        "filter.duplicates.per_source": experiment.filter.duplicates.per_source,
    }
    for name, classifier in experiment.classify.classifiers.items():
        named[f"classify.classifiers.{name}.sources"] = classifier.sources or []
        named[f"classify.classifiers.{name}.labels.weights"] = classifier.labels.weights
    for key, sources in named.items():
        for source in sources:
            if source not in experiment.sources:
                yield key, _not_there("source", source, experiment.sources)
    for name, model in experiment.models.items():
        if isinstance(model, Decoder) and model.mixture not in experiment.mixtures:
            yield f"models.{name}.mixture", _not_there("mixture", model.mixture, experiment.mixtures)
        if isinstance(model, Decoder) and model.hidden_size % model.heads:
            yield f"models.{name}.heads", f"{model.heads} heads do not divide hidden_size {model.hidden_size}"
        if not isinstance(model, Decoder) and experiment.tokenizer.kind == "train":
            yield f"models.{name}.kind", "a pretrained model needs its own tokenizer, and tokenizer.kind is train"
    trained_on = experiment.tokenizer.mixture if experiment.tokenizer.kind == "train" else None
    if trained_on is not None and trained_on not in experiment.mixtures:
        yield "tokenizer.mixture", _not_there("mixture", trained_on, experiment.mixtures)
    context = experiment.pretraining.context
    if experiment.sft.training.max_length > context:
        longest = experiment.sft.training.max_length
        yield "sft.training.max_length", f"{longest} tokens do not fit pretraining.context (allowed: at most {context})"
    if experiment.pretraining.batch_tokens % context:
        yield "pretraining.batch_tokens", f"must be a multiple of pretraining.context ({context})"
    yield from _schedule_contradictions(experiment)
    yield from _tuning_contradictions(experiment)


def _schedule_contradictions(experiment: Experiment):
    """Every training has steps left after its warm-up: the learning rate reaches its highest."""
    recipe = experiment.pretraining
    for name in {model.mixture: None for model in experiment.models.values() if isinstance(model, Decoder)}:
        steps = -(-experiment.mixtures[name].tokens // recipe.batch_tokens)
        if recipe.warmup_steps >= steps:
            yield (
                "pretraining.warmup_steps",
                f"{recipe.warmup_steps:,} steps of warm-up leave none of the {steps:,} in which mixtures.{name} is read "
                f"(allowed: at most {steps - 1:,})",
            )


def _contrast_contradictions(experiment: Experiment):
    """What is compared is measured, and nothing is compared twice."""
    evaluation, contrasts = experiment.evaluation, experiment.prereg.contrasts()
    for label, contrast in contrasts.items():
        for role in ("treatment", "control"):
            if (model := getattr(contrast, role)) not in experiment.models:
                yield f"{label}.{role}", _not_there("model", model, experiment.models)
        if contrast.treatment == contrast.control:
            yield f"{label}.control", f"{contrast.control} cannot be compared with itself"
        if contrast.suite not in evaluation.suites:
            yield f"{label}.suite", _not_there("suite", contrast.suite, evaluation.suites)
        if contrast.mode not in evaluation.generation.modes:
            yield f"{label}.mode", f"evaluation.generation.modes of the experiment has no {contrast.mode}"
        if problem := contrast.impossible(evaluation.suites[contrast.suite].kind):
            yield f"{label}.{problem[0]}", problem[1]
        if (first := next(key for key, each in contrasts.items() if each == contrast)) != label:
            yield label, f"is the same comparison as {first}"


def _tuning_contradictions(experiment: Experiment):
    """The chosen mix is there, and so are the tokens of the chosen template."""
    sft = experiment.sft
    if sft.mix not in sft.mixes:
        yield "sft.mix", _not_there("mix", sft.mix, sft.mixes)
    if sft.template == "chatml" and (lacking := set(CHATML_TOKENS) - set(experiment.tokenizer.special_tokens)):
        yield "sft.template", f"chatml needs {min(lacking)} in tokenizer.special_tokens"


def _classifier_contradictions(experiment: Experiment):
    """No source is taken by two classifiers."""
    takers: dict[str | None, str] = {}
    for name, classifier in experiment.classify.classifiers.items():
        for source in [None] if classifier.sources is None else classifier.sources:
            if (first := takers.setdefault(source, name)) != name:
                what = source or "every source that no other takes (sources is not given)"
                yield f"classify.classifiers.{name}.sources", f"classifier {first} takes {what} already"


def _selection_contradictions(experiment: Experiment):
    """Every rule is there, and its scores are made for the sources that are selected by it."""
    rules = experiment.filter.selection
    if RANDOM in rules:
        yield f"filter.selection.{RANDOM}", f"{RANDOM} is the rule of sources that name none; choose another name"
    for name, mixture in experiment.mixtures.items():
        for source, share in mixture.sources.items():
            key = f"mixtures.{name}.sources.{source}.select"
            if share.select != RANDOM and share.select not in rules:
                yield key, _not_there("rule", share.select, [RANDOM, *rules])
                continue
            rule = rule_of(share.select, mixture.arm, rules)
            scored = _rubrics_of(experiment, source)
            if lacking := [rubric for rubric in (rule.rubrics if rule else []) if rubric not in scored]:
                yield key, f"rule {share.select} needs scores of {lacking[0]}, and no classifier makes them of {source}"


def _rubrics_of(experiment: Experiment, source: str) -> list[str]:
    classifiers = experiment.classify.classifiers.values()
    named = [each for each in classifiers if source in (each.sources or [])]
    takers = named or [each for each in classifiers if each.sources is None]
    return [rubric for each in takers for rubric in each.rubrics]


def _hub_contradictions(experiment: Experiment):
    """The lock takes no more of a source than its parts ask for."""
    for name, source in experiment.sources.items():
        parts = [part for part in source.parts if part.kind == "hub"]
        offered = sum(part.tokens for part in parts)
        for mixture, shares in experiment.mixtures.items():
            share = shares.sources.get(name)
            if parts and share and offered < (asked := to_select(share.tokens, share.repeat)):
                again = "" if share.repeat == 1 else f", to be read {share.repeat:g} times"
                yield (
                    f"sources.{name}.parts",
                    f"the parts offer {offered:,} tokens, and mixtures.{mixture} asks for {asked:,}{again}; raise their "
                    "`tokens`",
                )


def _not_there(what: str, name: str, known) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"there is no {what} {name!r} (allowed: {', '.join(sorted(known))}{guess})"


def _validated(model, content: dict, path: Path):
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise TrellisError(first_sentence(error, path, model)) from None
