# What the rules ask of the plan: functions only.
# Reads: config/config.yaml, the experiment it names, its lock, and the code of the stages (for their fingerprints).
import os
import re
import sys
from pathlib import Path

SCRIPTS = str(Path(workflow.basedir) / "workflow" / "scripts")
sys.path.insert(0, SCRIPTS)
PATHS = [SCRIPTS, os.environ.get("PYTHONPATH")]
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, PATHS)))

from snakemake.resources import Resource

from trellis.errors import TrellisError
from trellis.plan import load_plan
from trellis.published import WITNESS, is_current, take_down

try:
    PLAN = load_plan(Path("."), config)
except TrellisError as error:
    sys.exit(f"error: {error}")

# Not in the profile: `--resources gpu=1` on the command line replaces the profile's resources, and would lift the limit.
if "net" not in workflow.global_resources:
    workflow.register_resource("net", Resource("net", PLAN.config.machine.downloads))

JOBS = {str(job.folder): job for job in PLAN.jobs}


def results_of(rule):
    """A pattern that only the folder names of this rule's results match."""
    return "|".join(re.escape(job.folder.name) for job in PLAN.of_rule(rule)) or "none"


def upstream(stage):
    """An input function: the manifests that the result `{job}` of this stage reads. Their addresses say all; times nothing.

    A result that is there waits for nobody: the jobs that come before it may since have become others.
    """

    def manifests(wildcards):
        job = JOBS[f"results/{stage}/{wildcards.job}"]
        before = () if job.manifest.exists() else job.after
        return [
            ancient(str(each.manifest))
            for jobs in (*job.inputs.values(), before)
            for each in jobs
        ]

    return manifests


def gpus(wanted=1):
    """How many GPUs a job asks for that computes on the configured device."""
    return wanted if PLAN.device == "cuda" else 0


def launcher():
    """What starts a pretraining: one process, or one for each of its GPUs."""
    count = gpus(PLAN.config.machine.gpus)
    # When it is told to stop, ten minutes for a checkpoint. Its own options end at `--`: it would take `--log` for one.
    torchrun = f"TORCH_ELASTIC_SHUTDOWN_TIMEOUT=600 torchrun --standalone --nproc-per-node {count} --no-python -- python"
    return torchrun if count > 1 else "python"


def wanted_report():
    """What the published report is made from: its manifest, and the witness that puts an outdated one out of date."""
    current = is_current(PLAN.report.fingerprint)
    return {
        "manifest": ancient(str(PLAN.report.manifest)),
        "wanted": ancient(str(WITNESS)) if current else str(WITNESS),
    }


def prepare():
    """Before the first job of a real run: the right GPU, the stages' orders, no report on show but the wanted one."""
    try:
        PLAN.check_gpu()
    except TrellisError as error:
        sys.exit(f"error: {error}")
    PLAN.write_specs()
    take_down(PLAN.report.fingerprint)
