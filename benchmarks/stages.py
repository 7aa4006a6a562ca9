"""Seconds and memory of an experiment by stage, and the share of the wall time that is Snakemake's own.

    python benchmarks/stages.py [--experiment demo] [--cores 2]

Runs the experiment from nothing in a copy of the workflow. A rule's seconds are its jobs' processes from start to end;
start-up is the part before the stage's own clock starts (Python and its imports). Snakemake's own time is the wall time in
which no job ran: reading the Snakefile, building the graph, starting and finishing jobs. The ratio is against the same jobs
with no workflow engine between them: wall time over the time in which at least one job ran.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARTS = ("Snakefile", "workflow", "config", "profiles", "envs")


def main() -> None:
    """Prints one Markdown table; exits with Snakemake's own status when the run fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--cores", default="2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "trellis"
        folder.mkdir()
        for part in PARTS:
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy2)(ROOT / part, folder / part)
        command = [
            "snakemake",
            "--cores",
            args.cores,
            "results/report.html",
            "--config",
            f"experiment={args.experiment}",
        ]
        begin = time.monotonic()
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        wall = time.monotonic() - begin
        if answer.returncode:
            sys.exit(answer.stdout + answer.stderr)
        begin = time.monotonic()
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        nothing = time.monotonic() - begin
        print_tables(args, wall, nothing, by_rule(folder), busy_seconds(folder))


def by_rule(folder: Path) -> dict[str, list[tuple[float, float, float]]]:
    """For each rule its jobs' (process seconds, start-up seconds, peak resident MiB)."""
    rules = defaultdict(list)
    for path in sorted(folder.glob("results/*/*/manifest.json")):
        manifest = json.loads(path.read_text())
        header, values = (path.parent / "benchmark.tsv").read_text().splitlines()[:2]
        row = dict(zip(header.split("\t"), values.split("\t"), strict=True))
        seconds = float(row["s"])
        own = manifest["run"]
        rules[f"{manifest['stage']}_{manifest['command']}"].append((seconds, seconds - own["seconds"], own["peak_mib"]))
    return rules


def busy_seconds(folder: Path) -> float:
    """Seconds in which at least one job ran, from the times that Snakemake keeps of each output."""
    records = [json.loads(path.read_text()) for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    spans = sorted((record["starttime"], record["endtime"]) for record in records if record.get("endtime"))
    busy, reached = 0.0, 0.0
    for start, end in spans:
        busy += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return busy


def print_tables(args: argparse.Namespace, wall: float, nothing: float, rules, busy: float) -> None:
    """The report, with what it was measured on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("snakemake", "torch", "transformers", "trl"))
    print(f"# {args.experiment} on {args.cores} cores, {datetime.date.today()}\n")
    print(f"{_processor()}, {os.cpu_count()} processors, Python {platform.python_version()}, {versions}\n")
    print("| rule | jobs | process seconds | of them start-up | peak MiB |\n|---|---|---|---|---|")
    for rule, jobs in rules.items():
        seconds, start_up, peak = (
            sum(job[0] for job in jobs),
            sum(job[1] for job in jobs),
            max(job[2] for job in jobs),
        )
        print(f"| {rule} | {len(jobs)} | {seconds:.1f} | {start_up:.1f} | {peak:.0f} |")
    total = sum(job[0] for jobs in rules.values() for job in jobs)
    print(f"\nWall time {wall:.1f} s for {total:.1f} process seconds; at least one job ran in {busy:.1f} s of it.")
    print(f"Snakemake's own: {wall - busy:.1f} s, {100 * (wall - busy) / wall:.1f} % (ratio {wall / busy:.3f}).")
    print(f"A second run says that there is nothing to do in {nothing:.1f} s.")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
