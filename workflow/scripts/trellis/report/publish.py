"""Puts a report in its well-known place, after checking that it is the one its manifest speaks of.

python -m trellis.report.publish --manifest results/report/report-<fingerprint>/manifest.json --to results/report.html
"""

import argparse
import hashlib
import sys
from pathlib import Path

from trellis.errors import TrellisError
from trellis.manifest import Manifest, write_atomically

PAGE = "report.html"


def publish(manifest: Path, to: Path) -> str:
    """Copies the report of a finished result to `to`, atomically; returns its fingerprint. Raises TrellisError when the
    page is missing or is not, to the byte, what the manifest recorded."""
    made = Manifest.read(manifest.parent)
    page = made.path(PAGE)
    try:
        content = page.read_bytes()
    except FileNotFoundError:
        raise TrellisError(f"{page} is missing; delete {manifest} and run snakemake again") from None
    (recorded,) = (file.sha256 for file in made.files if file.path == PAGE)
    if hashlib.sha256(content).hexdigest() != recorded:
        raise TrellisError(f"{page} was changed after it was made; delete {manifest} and run snakemake again")
    to.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(to, content)
    return made.fingerprint


def main() -> None:
    """The command line; exits with 1 and one sentence on stderr when the report cannot be published."""
    parser = argparse.ArgumentParser(prog="python -m trellis.report.publish", description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, required=True, help="the manifest of the report's result")
    parser.add_argument("--to", type=Path, required=True, help="where the report is to be found")
    args = parser.parse_args()
    try:
        print(f"{args.to}  {publish(args.manifest, args.to)}")
    except TrellisError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
