"""The resolved experiment in words and figures, and why a result is not there."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from trellis.budget import rows_per_source, to_select
from trellis.experiment.models import Decoder
from trellis.experiment.whole import Experiment
from trellis.job import Job
from trellis.models.size import parameters, training_flops
from trellis.plan import Plan
from trellis.store import differences, predecessors


def describe(name: str, experiment: Experiment) -> Iterator[str]:
    """Models, mixtures, steps and the defaults that were filled in, line by line."""
    recipe = experiment.pretraining
    yield f"{name}: {experiment.title}"
    yield ""
    yield "models"
    for label, model in experiment.models.items():
        if isinstance(model, Decoder):
            counted = parameters(model, experiment.tokenizer.vocab_size)
            rows = sum(rows_per_source(experiment.mixtures[model.mixture], recipe.context).values())
            tokens, steps = rows * recipe.context, -(-rows * recipe.context // recipe.batch_tokens)
            flops = tokens * training_flops(model, experiment.tokenizer.vocab_size, recipe.context)
            yield f"  {label}: {model.kind}, {counted:,} parameters, mixture {model.mixture}"
            yield f"    {tokens:,} tokens in {steps:,} steps of {recipe.batch_tokens:,} tokens, {flops:.3g} FLOPs"
        else:
            yield f"  {label}: {model.origin}, {model.parameters:,} parameters, {model.training_tokens:,} tokens"
    for label, mixture in experiment.mixtures.items():
        yield ""
        yield f"mixture {label}: {mixture.tokens:,} tokens"
        rows = rows_per_source(mixture, recipe.context)
        for source, share in mixture.sources.items():
            percent = 100 * share.tokens / mixture.tokens
            unique = to_select(share.tokens, share.repeat)
            again = "" if share.repeat == 1 else f", {unique:,} different ones read {share.repeat:g} times"
            yield f"  {source}: {share.tokens:,} tokens ({percent:.1f} %){again}, {rows[source]:,} rows, {share.select}"
    primary = experiment.prereg.primary
    yield ""
    yield f"primary comparison: {primary.treatment} minus {primary.control}"
    yield f"  {primary.metric} on the {primary.split} items of suite {primary.suite}, {primary.mode} decoding"
    yield f"  {len(experiment.prereg.secondary)} secondary, margin {experiment.prereg.margin:g}"
    filled = list(_defaults(experiment))
    yield ""
    yield f"defaults filled in ({len(filled)})"
    for key, value in filled:
        yield f"  {key}: {value}"


def _defaults(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in type(section).model_fields:
        value, name = getattr(section, key), f"{prefix}{key}"
        if key not in section.model_fields_set:
            yield name, value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        elif isinstance(value, BaseModel):
            yield from _defaults(value, f"{name}.")
        elif isinstance(value, (dict, list)):
            for label, item in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _defaults(item, f"{name}.{label}.")


def explain(plan: Plan) -> Iterator[str]:
    """For every job: its result is there, or what differs from the nearest result that is."""
    labels = {job.fingerprint: job.label for job in plan.jobs}
    present = 0
    for job in plan.jobs:
        if job.manifest.exists():
            present += 1
            continue
        yield f"{job.label} -> {job.folder}"
        yield from (f"  {line}" for line in _reasons(job, labels))
    yield f"{present} of {len(plan.jobs)} results are there"


def _reasons(job: Job, labels: dict[str, str]) -> Iterator[str]:
    others = predecessors(job)
    if not others:
        yield "has not been made yet"
        return
    old = others[0]
    yield f"compared with {old.folder}:"
    for key, before, after in differences(old.components["config"], job.components["config"]):
        yield f"config: {key} was {before!r}, is {after!r}"
    for module, before, after in differences(old.components["code"], job.components["code"]):
        yield f"code: {module} {'is new' if before is None else 'is gone' if after is None else 'has changed'}"
    for role, before, after in differences(old.components["inputs"], job.components["inputs"]):
        changed = [labels[mark] for mark in after or [] if mark not in (before or [])]
        yield f"inputs: {role}: {', '.join(changed) or 'fewer than before'}"
