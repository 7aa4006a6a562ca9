"""The dataflow of a study, in one place: what is made by which command, from which slice of the config, out of what.

Snakemake turns it into rules, `python -m trellis` into answers. `builder` holds the jobs; `documents`, `training` and
`evaluation` write the dataflow down, stage by stage.
"""

from trellis.dataflow.builder import Builder
from trellis.dataflow.documents import document_jobs, score_jobs
from trellis.dataflow.evaluation import evaluation_jobs, report_job, schema_job, suite_jobs
from trellis.dataflow.training import mixture_jobs, model_jobs, sft_data_job, token_jobs, tokenizer_job, tuning_jobs
from trellis.experiment.lock import Lock
from trellis.experiment.whole import Experiment
from trellis.job import Job


def build_jobs(experiment: Experiment, lock: Lock) -> list[Job]:
    """Every job of an experiment, upstream before downstream; the lock pins all that it reads. Raises TrellisError when
    two sources read the same file."""
    plan = Builder(experiment, lock)
    documents = document_jobs(plan)
    schemas = schema_job(plan)
    scores = score_jobs(plan, documents)
    tokenizer = tokenizer_job(plan, documents)
    data = sft_data_job(plan, schemas, tokenizer)
    suites, distance = suite_jobs(plan, schemas, tokenizer, data)
    tokens = token_jobs(plan, documents, tokenizer)
    mixtures = mixture_jobs(plan, documents, schemas, scores, tokens, tokenizer)
    # Training costs days: the suites stand, and leak nothing, before it begins.
    plan.before_training = (*suites.values(), distance)
    models = model_jobs(plan, mixtures, tokenizer)
    tuned = tuning_jobs(plan, models, data)
    evaluation_jobs(plan, models, tuned, suites, distance)
    report_job(plan)
    return plan.jobs
