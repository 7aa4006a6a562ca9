"""report_build: all results of a study, as one page that opens from disk and runs nothing."""

from pathlib import Path

import jinja2

from trellis.command import Result
from trellis.manifest import write_atomically
from trellis.report import (
    answer,
    classifiers,
    comparison,
    confounds,
    contamination,
    costs,
    curves,
    funnel,
    outcomes,
    provenance,
    samples,
    study,
    wording,
)
from trellis.report.results import Results, read_json
from trellis.spec import Spec

DATA_FILES = (
    "templates/page.html",
    "templates/style.css",
    "templates/charts.html",
    "templates/answer.html",
    "templates/headline.html",
    "templates/models.html",
    "templates/outcomes.html",
    "templates/training.html",
    "templates/curation.html",
    "templates/classifiers.html",
    "templates/samples.html",
    "templates/costs.html",
    "templates/provenance.html",
)
FILTERS = (
    wording.count,
    wording.percent,
    wording.points,
    wording.decimal,
    wording.short,
    wording.duration,
    wording.plural,
    wording.listed,
)


def run(spec: Spec, out: Path) -> Result:
    """Writes `report.html`. Raises TrellisError when there is no comparison to report."""
    experiment, results = spec.config["experiment"], Results(spec.inputs_of("results"))
    statistics = read_json(results.need("evaluate", "compare").path("statistics.json"))
    arms = study.read_arms(results, experiment)
    tuning = study.check_tuning(results, experiment)
    labels = classifiers.classifiers_section(results)
    found = answer.answer(
        experiment,
        statistics["primary"],
        arms,
        tuning,
        heuristic=labels["heuristic"],
    )
    shown = samples.samples_section(results, experiment, arms, spec.config["samples"])
    page = (
        environment()
        .get_template("page.html")
        .render(
            fingerprint=spec.fingerprint,
            experiment_name=spec.experiment,
            title=experiment["title"],
            digest=spec.config["digest"],
            arms=arms,
            tuning=tuning,
            answer=found,
            headline=comparison.headline_section(statistics, arms),
            confounds=confounds.confounds_section(results, experiment, arms),
            commit_statement=provenance.commit_statement(results),
            models=comparison.table_section(results, statistics, arms),
            outcomes=outcomes.outcomes_section(statistics, arms),
            pretraining=curves.pretraining_section(results, experiment, arms),
            sft=curves.tuning_section(results, experiment, arms),
            funnel=funnel.funnel_section(results, experiment),
            contamination=contamination.contamination_section(results, experiment),
            classifiers=labels,
            samples=shown,
            costs=costs.costs_section(results),
            provenance=provenance.provenance_section(results, experiment, spec.config["repositories"]),
        )
    )
    write_atomically(out / "report.html", page)
    metrics = {
        "verdict": found.verdict,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "samples": shown["shown"],
    }
    return Result(metrics)


def environment() -> jinja2.Environment:
    """Templates in which whatever is printed is made visible and escaped; a name that is not there is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=wording.visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({written.__name__: written for written in FILTERS})
    return made
