"""The one result with a fixed name: `results/report.html`, a copy of the report that the configured experiment leads to.

Snakemake never runs a job because an intermediate is missing, and forgets parameters with `.snakemake/`. So a published
report says in its head which fingerprint it shows, and where that is not the wanted one, a witness file newer than the
report makes Snakemake see it as out of date, whatever else was lost.
"""

import re
from pathlib import Path

from trellis.manifest import write_atomically

REPORT = Path("results/report.html")
WITNESS = Path("results/wanted-report")
_MARK = re.compile(r'<meta name="trellis-fingerprint" content="([0-9a-f]{64})">')


def fingerprint_of(report: Path) -> str | None:
    """The fingerprint that a published report carries within its first 4 kB; None when there is no report or no mark."""
    try:
        with report.open(encoding="utf-8", errors="replace") as file:
            mark = _MARK.search(file.read(4096))
    except FileNotFoundError:
        return None
    return mark.group(1) if mark else None


def is_current(wanted: str, report: Path = REPORT, witness: Path = WITNESS) -> bool:
    """Whether the published report shows the wanted fingerprint; where it does not, the witness becomes newer than it."""
    current = fingerprint_of(report) == wanted
    if not current or not witness.exists():
        witness.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(witness, wanted + "\n")
    return current


def take_down(wanted: str, report: Path = REPORT) -> None:
    """Removes a published report of another fingerprint, so that a run that fails leaves no old answer in its place."""
    if fingerprint_of(report) != wanted:
        report.unlink(missing_ok=True)
