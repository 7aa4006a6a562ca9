"""For the tests of the lock: the smoke experiment with sources of one's own, and a repository that it reads."""

import hashlib
import shutil
from pathlib import Path

import yaml

from trellis.experiment.reading import read_yaml

REPO, NAME = "datasets/trellis/example", "trellis/example"
TREE, INFO = f"GET /api/{REPO}/tree", f"GET /api/{REPO}/revision"
PARTS = {f"data/part-{number:03d}.parquet": bytes([number]) * (1000 + number) for number in range(120)}
FILES = {"README.md": b"# An example\n", "notes/one.txt": b"short", "notes/é 2.txt": "ü".encode(), **PARTS}
SECRET = "hf_averysecrettoken"
CONFIG = Path(__file__).parents[1] / "config"
SMOKE = CONFIG / "experiments/smoke.yaml"


def hub_part(repo: str, *files: str, tokens: int = 10**9, rate: float = 1.0, **more) -> dict:
    """A part that asks for all, unless `tokens` of `rate` bytes say otherwise."""
    return {
        "kind": "hub",
        "repo": repo,
        "files": list(files),
        "reader": "text_column",
        "tokens": tokens,
        "bytes_per_token": rate,
        **more,
    }


def write_study(root: Path, sources: dict[str, list[dict]], name: str = "study", **changes) -> Path:
    """Writes `config/experiments/<name>.yaml` with `sources` ({name: parts}); `changes` replace whole sections."""
    content = read_yaml(SMOKE) | {"lock": "study", "preregistered_as": "smoke"}
    content["sources"] = {source: {"licence": "CC0-1.0", "parts": parts} for source, parts in sources.items()}
    content["mixtures"] = {"all": {"tokens": 1024, "sources": {next(iter(sources)): {"tokens": 1024}}}}
    # So little is one step, which leaves none for a warm-up.
    content["pretraining"]["warmup_steps"] = 0
    for model in content["models"].values():
        model["mixture"] = "all"
    text = content["classify"]["classifiers"]["text"]
    text["labels"].pop("weights", None)
    text.pop("sources", None)
    content["classify"]["classifiers"] = {"text": text}
    content["filter"]["duplicates"].pop("per_source", None)
    path = root / "config" / "experiments" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CONFIG / "prereg.yaml", root / "config")
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return path


def local_part(*files: str) -> dict:
    return {"kind": "local", "files": list(files), "reader": "text_file"}


def pin(data: bytes) -> dict:
    """What a lock says of a file."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def everything(files: dict[str, bytes], revision: str) -> dict:
    """What a lock says of these files of the example."""
    pins = {path: pin(data) for path, data in files.items()}
    return {REPO: {"revision": revision, "licence": "mit", "gated": False, "files": pins}}


WHOLE = hub_part(NAME, "**/*")
