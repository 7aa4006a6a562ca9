"""From models to the report: suites, generation, scores, statistics."""

from trellis.address import digest
from trellis.dataflow.builder import Builder, unrevised
from trellis.experiment.evaluation import Suite
from trellis.experiment.section import semantic
from trellis.job import Job


def schema_job(plan: Builder) -> Job:
    """The schemas of both sides of the split, and the texts that nobody may be trained on."""
    evaluation = plan.experiment.evaluation
    origins = [
        origin for suite in evaluation.suites.values() if suite.kind == "json_schema" for origin in suite.origins
    ]
    packages = {*evaluation.schemas.packages, *(origin.package for origin in origins if origin.kind == "wheel")}
    config = {
        "schemas": evaluation.schemas,
        "origins": [unrevised(origin) for origin in origins],
        "component": evaluation.distance.component,
    }
    return plan.add(
        "evaluate",
        "schemas",
        "schemas",
        config,
        wheels=[plan.wheel(package) for package in sorted(packages)],
        files=[plan.hub(f"datasets/{each.repo}", each.files) for each in origins if each.kind == "hub"],
    )


def suite_jobs(plan: Builder, schemas: Job, tokenizer: Job, data: Job) -> tuple[dict[str, Job], Job]:
    """(the items of each suite, and how near their schemas are to those of fine-tuning)."""
    evaluation = plan.experiment.evaluation
    room = plan.experiment.pretraining.context - evaluation.generation.max_new_tokens
    suites = {}
    for name, suite in evaluation.suites.items():
        config = {
            "name": name,
            "suite": suite,
            "text_share": evaluation.text_share,
            "template": plan.experiment.sft.template,
            "room": room,
            "max_new_tokens": evaluation.generation.max_new_tokens,
            "shots": evaluation.generation.shots,
        }
        wheels, files = _origins(plan, suite)
        modules = [f"trellis.evaluate.suites.{suite.kind}"]
        suites[name] = plan.add(
            "evaluate",
            "items",
            f"items-{name}",
            config,
            modules,
            schemas=[schemas],
            tokenizer=[tokenizer],
            wheels=wheels,
            files=files,
        )
    config = {"distance": evaluation.distance}
    distance = plan.add("evaluate", "distance", "distance", config, items=suites.values(), data=[data])
    return suites, distance


def _origins(plan: Builder, suite: Suite) -> tuple[list[Job], list[Job]]:
    """The wheels and the repositories that a suite's items are made of."""
    if suite.kind == "function_calling":
        return [plan.wheel(suite.package)], []
    origins = suite.origins if suite.kind == "json_schema" else []
    wheels = [plan.wheel(package) for package in sorted({each.package for each in origins if each.kind == "wheel"})]
    return wheels, [plan.hub(f"datasets/{each.repo}", each.files) for each in origins if each.kind == "hub"]


def evaluation_jobs(
    plan: Builder,
    models: dict[str, Job],
    tuned: dict[tuple[str, int], Job],
    suites: dict[str, Job],
    distance: Job,
) -> None:
    """Every model's answers, their scores, and what the scores say."""
    evaluation = plan.experiment.evaluation
    kinds = sorted({suite.kind for suite in evaluation.suites.values()})
    variants: dict[tuple[str, int | None], Job] = dict(tuned)
    if evaluation.base_models:
        variants |= {(name, None): model for name, model in models.items()}
    scores, known = [], []
    for (name, seed), model in variants.items():
        label = f"{name}-base" if seed is None else f"{name}-s{seed}"
        config = {"generation": evaluation.generation, "template": plan.experiment.sft.template, "base": seed is None}
        generations = [
            plan.add("evaluate", "generate", f"generate-{label}-{suite}", config, model=[model], items=[items])
            for suite, items in suites.items()
        ]
        who = {"model": name, "seed": seed}
        modules = [f"trellis.evaluate.scorers.{kind}" for kind in kinds]
        scores.append(
            plan.add(
                "evaluate", "score", f"score-{label}", who, modules, items=suites.values(), generations=generations
            )
        )
        if evaluation.knowledge:
            # The keys of a written spec are sorted, and a task finds its files by its place among them.
            tasks = dict(sorted(evaluation.knowledge.tasks.items()))
            files = [plan.hub(f"datasets/{task.repo}", task.files) for task in tasks.values()]
            pinned = {name: unrevised(task) for name, task in tasks.items()}
            knowledge = {**who, "knowledge": evaluation.knowledge.model_copy(update={"tasks": pinned})}
            known.append(plan.add("evaluate", "knowledge", f"knowledge-{label}", knowledge, model=[model], files=files))
    config = {"statistics": evaluation.statistics, "prereg": plan.experiment.prereg}
    plan.add("evaluate", "compare", "compare", config, scores=scores, distance=[distance], knowledge=known)


def report_job(plan: Builder) -> Job:
    """The report reads every manifest, so that each number in it leads back to a file."""
    config = {
        "experiment": plan.experiment,
        "samples": plan.experiment.report_samples,
        "digest": digest(semantic(plan.experiment)),
        "repositories": {
            name: plan.lock.repos[name].model_dump(include={"revision", "licence", "gated"})
            for name in sorted({name for name, *_ in plan.fetched_files})
        },
    }
    return plan.add("report", "build", "report", config, results=list(plan.jobs))
