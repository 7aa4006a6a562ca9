"""`python -m trellis`: questions about an experiment and its results, asked in the workflow's folder.

show [EXPERIMENT]   the resolved experiment: parameters, tokens per source, steps, defaults filled in
lock [EXPERIMENT]   pin all that the experiment reads from elsewhere, to the byte (needs the network); --check only says
                    what has changed since
why                 which results are missing, and what differs from the nearest ones that are there
specs               write every missing result's spec.json, to run stages by hand
verify              hash every stored file again
gc [--delete]       list the results that no experiment of config/experiments leads to
adopt JOB... --reason WHY
                    declare that a code change altered no result of these jobs
tasks --to FOLDER   write the suites that have been built as tasks of lm-eval, to be asked of any model
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.whole import experiment_path, load_config, load_experiment
from trellis.overview import describe, explain
from trellis.plan import Plan, load_plan
from trellis.store import adopt, problems, stored, unreached

ROOT = Path()


def main() -> None:
    """Exits with 1 and one sentence on stderr when the question cannot be answered, or verify finds a fault."""
    args = _arguments()
    try:
        sys.exit(COMMANDS[args.command](args))
    except TrellisError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trellis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--experiment", help="another experiment than config/config.yaml's")
    show = commands.add_parser("show")
    show.add_argument("experiment", nargs="?", help="a name in config/experiments, or a path")
    locking = commands.add_parser("lock")
    locking.add_argument("experiment", nargs="?", help="a name in config/experiments, or a path")
    locking.add_argument("--check", action="store_true", help="write nothing; say what has changed since")
    commands.add_parser("why", parents=[configured])
    commands.add_parser("specs", parents=[configured])
    commands.add_parser("verify")
    commands.add_parser("gc").add_argument("--delete", action="store_true", help="delete what is listed")
    adopting = commands.add_parser("adopt", parents=[configured])
    adopting.add_argument("jobs", nargs="+", metavar="JOB", help="like pretrain/trellis or 'sft/*'")
    adopting.add_argument("--reason", required=True, help="why the results stay the same; kept in their manifests")
    exporting = commands.add_parser("tasks", parents=[configured])
    exporting.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new or an empty folder")
    return parser.parse_args()


def _plan(args: argparse.Namespace) -> Plan:
    return load_plan(ROOT, {"experiment": args.experiment} if args.experiment else {})


def _experiment(args: argparse.Namespace) -> Path:
    return experiment_path(ROOT, args.experiment or load_config(ROOT / "config" / "config.yaml", {}).experiment)


def _show(args: argparse.Namespace) -> int:
    path = _experiment(args)
    print("\n".join(describe(path.stem, load_experiment(path))))
    return 0


def _lock(args: argparse.Namespace) -> int:
    # Only this command asks the hub: no other waits for its client to be imported.
    from trellis.locking.drift import check
    from trellis.locking.lock import lock

    if args.check:
        return 1 if check(ROOT, _experiment(args)) else 0
    lock(ROOT, _experiment(args))
    return 0


def _why(args: argparse.Namespace) -> int:
    print("\n".join(explain(_plan(args))))
    return 0


def _specs(args: argparse.Namespace) -> int:
    plan = _plan(args)
    plan.write_specs()
    for job in plan.jobs:
        if not job.manifest.exists():
            print(f"python -m trellis.{job.stage} --spec {job.folder}/spec.json --out {job.folder}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    results, found = 0, []
    for manifest in stored():
        results += 1
        found += problems(manifest)
    print("\n".join([*found, f"{results} results checked, {len(found)} problems"]))
    return 1 if found else 0


def _gc(args: argparse.Namespace) -> int:
    plans, names = [load_plan(ROOT)], sorted(path.stem for path in (ROOT / "config" / "experiments").glob("*.yaml"))
    for name in names:
        try:
            plans.append(load_plan(ROOT, {"experiment": name}))
        except TrellisError as error:
            print(f"not counted as reached: {error}")
    folders = unreached(plans)
    for folder, size in folders:
        print(f"{size / 2**20:10.1f} MiB  {folder}")
        if args.delete:
            shutil.rmtree(folder)
    total = sum(size for _, size in folders) / 2**20
    print(
        f"{total:10.1f} MiB in {len(folders)} results that no experiment leads to{', deleted' if args.delete else ''}"
    )
    return 0


def _adopt(args: argparse.Namespace) -> int:
    for job, old in adopt(_plan(args), args.jobs, args.reason):
        print(f"{job.label}: {old.fingerprint[:16]} is now {job.fingerprint[:16]}")
    return 0


def _tasks(args: argparse.Namespace) -> int:
    # Only this command renders prompts: no other waits for transformers to be imported.
    from trellis.lm_eval_tasks import export

    print("\n".join(export(_plan(args), args.to)))
    return 0


COMMANDS = {
    "show": _show,
    "lock": _lock,
    "why": _why,
    "specs": _specs,
    "verify": _verify,
    "gc": _gc,
    "adopt": _adopt,
    "tasks": _tasks,
}

main()
