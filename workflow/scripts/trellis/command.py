"""How every stage runs: read the spec, hold the folder, do the work, write the manifest last.

    python -m trellis.<stage> --spec SPEC --out DIR [--threads N] [--log FILE]

A command is a module with `run(spec: Spec, out: Path) -> Result`. It writes its files under `out`; progress that must
survive an interruption goes to `out/work`, which is removed once the result is published.

Of the processes that torchrun starts together, the first holds the folder, logs and publishes; the others run the command
and leave nothing but, in the log, why they failed.
"""

import argparse
import contextlib
import errno
import fcntl
import importlib
import logging
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from trellis import torchrun
from trellis.errors import TrellisError
from trellis.manifest import BESIDE, WORK, Manifest, list_files
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
RECORDED_VERSIONS = ("torch", "transformers", "tokenizers", "trl", "llguidance", "numpy", "pyarrow", "snakemake")


@dataclass(frozen=True)
class Result:
    """What a command reports: `metrics` for the manifest, `rows` by file name; `run` adds to the manifest's account of
    the run what may differ from one run to the next (tokens per second, say)."""

    metrics: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)


def main(stage: str, online: bool = False) -> None:
    """The command line of a stage; exits with 1 and one sentence on stderr when the work cannot be done. Only a stage that
    is `online` may reach the hub."""
    parser = argparse.ArgumentParser(prog=f"python -m trellis.{stage}", description=__doc__.splitlines()[0])
    parser.add_argument("--spec", type=Path, required=True, help="what to make")
    parser.add_argument("--out", type=Path, required=True, help="the result's folder")
    parser.add_argument("--threads", type=int, default=1, help="processor threads to use")
    parser.add_argument("--log", type=Path, help="where the log goes; without it, to stderr")
    args = parser.parse_args()
    # Before any library starts its thread pool: two trainings side by side must not fight for the same cores.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if args.threads == 1 else "true"
    os.environ.update(TQDM_DISABLE="1", HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_VERBOSITY="error")
    if not online:
        os.environ["HF_HUB_OFFLINE"] = "1"
    _start_log(args.log)
    title = f"{stage} {args.spec}"
    try:
        spec = Spec.load(args.spec).model_copy(update={"threads": args.threads})
        title = f"{stage}_{spec.command} {spec.name}"
        if torchrun.rank() == 0:
            execute(spec, args.out)
        else:
            _module(spec).run(spec, args.out)
    except TrellisError as error:
        _fail(f"{title}: {error}", args.log)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # What fails to write to an open file does not know its name.
            _fail(f"{title}: the disk is full at {error.filename or args.out}; make room and run again", args.log)
        LOG.error("%s", traceback.format_exc())
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        _fail(f"{title}: unexpected {what} ({Path(place.filename).name}:{place.lineno})", args.log)


def execute(spec: Spec, out: Path) -> Manifest:
    """Runs the spec's command and publishes its result in `out`. Raises TrellisError when another process is at it."""
    out.mkdir(parents=True, exist_ok=True)
    module = _module(spec)
    with _held(out):
        for path in out.iterdir():
            if path.name not in BESIDE - {"manifest.json"} and path.name != WORK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        start = time.monotonic()
        LOG.info("%s_%s %s: fingerprint %s", spec.stage, spec.command, spec.name, spec.fingerprint)
        result = module.run(spec, out)
        manifest = Manifest(
            stage=spec.stage,
            command=spec.command,
            name=spec.name,
            fingerprint=spec.fingerprint,
            components=spec.components,
            files=list_files(out, result.rows),
            metrics=result.metrics,
            run={**_provenance(time.monotonic() - start, spec.threads), **result.run},
            folder=out,
        )
        manifest.write()
        shutil.rmtree(out / WORK, ignore_errors=True)
        LOG.info("done: %d files in %.1f s", len(manifest.files), manifest.run["seconds"])
    return manifest


def _module(spec: Spec) -> ModuleType:
    return importlib.import_module(f"trellis.{spec.stage}.{spec.command}")


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """The folder's lock: a stage that outlived a killed Snakemake must not meet a second one in the same folder."""
    with (out / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise TrellisError(
                f"process {holder} is already writing {out}; wait for it or stop it (`kill {holder}`), then run again"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _provenance(seconds: float, threads: int) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return {
        "seconds": round(seconds, 2),
        "peak_mib": round(_peak_mib(), 1),
        "threads": threads,
        "python": platform.python_version(),
        "versions": _versions(),
        "commit": commit.stdout.strip() or "unknown",
        "hardware": _processor(),
    }


def _peak_mib() -> float:
    """The highest memory of this process. Linux's ru_maxrss would begin with that of the process which started it."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status", encoding="utf-8") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmHWM"))) / 1024
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in RECORDED_VERSIONS:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _start_log(path: Path | None) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True) if path else logging.StreamHandler()
    handler.setLevel(logging.INFO if torchrun.rank() == 0 else logging.ERROR)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(message)s")
    logging.captureWarnings(True)
    # A log on a full disk must not bury the sentence that says so.
    logging.raiseExceptions = False


def _fail(sentence: str, log: Path | None) -> None:
    if torchrun.first_to_fail():
        LOG.error("%s", sentence)
        if log:
            print(f"error: {sentence}; log: {log}", file=sys.stderr, flush=True)
    if torchrun.size() > 1:
        # An orderly exit would wait for the other processes, which may be waiting for this one.
        os._exit(1)
    sys.exit(1)
