"""The `snakemake` of this project's environment: Snakemake's own command line, with targets allowed after `--resources`.

Snakemake's `--resources` takes every word up to the next option, so that in `snakemake --resources gpu=1 results/report.html`
the target is read as a resource and the command fails. A resource holds `=` and a target of this workflow never does.

It stands outside the package, because a Snakefile must find its own clone's `trellis`, not one that was imported before it.
"""

import sys

from snakemake.cli import main as snakemake

GREEDY = ("--resources", "--res")


def targets_first(words: list[str]) -> list[str]:
    """The words with the targets that stand among an option's resources moved to the front."""
    targets, rest, among_resources = [], [], False
    for word in words:
        if word.startswith("-"):
            among_resources = word in GREEDY
        is_target = among_resources and word not in GREEDY and "=" not in word
        (targets if is_target else rest).append(word)
    return targets + rest


def main() -> None:
    """Runs Snakemake on the process's own arguments."""
    snakemake(targets_first(sys.argv[1:]))
