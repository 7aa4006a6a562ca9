"""From pip's installation report to the two forms of the lock: requirements.lock for pip, envs/trellis.yaml for conda.

python envs/lock.py REPORT.json
"""

import json
import sys
from pathlib import Path

OWN = "trellis-study"
ROOT = Path(__file__).parent.parent
PYTHON = "3.11"


def pins(report: dict) -> list[str]:
    """`name==version` of everything pip would install, without local build tags, so that pip takes the build of torch
    (CPU or CUDA) that its index offers."""
    packages = [item["metadata"] for item in report["install"] if item["metadata"]["name"] != OWN]
    return sorted((f"{each['name']}=={each['version'].split('+')[0]}" for each in packages), key=str.lower)


def main() -> None:
    found = pins(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    note = "# Every package of the environment, pinned; made by `make lock` from the ranges in pyproject.toml.\n"
    (ROOT / "requirements.lock").write_text(note + "".join(f"{pin}\n" for pin in found), encoding="utf-8")
    conda = f"name: trellis\nchannels:\n  - conda-forge\ndependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n"
    content = note + conda + "".join(f"      - {pin}\n" for pin in found)
    (ROOT / "envs" / "trellis.yaml").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
