"""Results as another stage would have left them: files that the test has written, and their manifest."""

import json
import os
import subprocess
import sys
from pathlib import Path

from trellis.manifest import Manifest, list_files
from trellis.spec import Spec


def publish(
    folder: Path, stage: str = "test", command: str = "test", name: str = "", metrics: dict | None = None
) -> Path:
    """Makes a finished result of the files in `folder`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    Manifest(
        stage=stage,
        command=command,
        name=name or folder.name,
        fingerprint="0" * 64,
        components={},
        files=list_files(folder, {}),
        metrics=metrics or {},
        run={},
        folder=folder,
    ).write()
    return folder


def made_in_another_process(spec: Spec, out: Path, hash_seed: str) -> dict[str, str]:
    """Runs the stage's command line under this PYTHONHASHSEED; returns the sha256 of each file that it published."""
    order = out.with_name(f"{out.name}.json")
    order.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", f"trellis.{spec.stage}", "--spec", str(order), "--out", str(out)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True)
    return {file["path"]: file["sha256"] for file in json.loads((out / "manifest.json").read_text())["files"]}
