"""Experiments for the tests of the lock: the smoke experiment with sources of one's own."""

from pathlib import Path

import yaml

from trellis.experiment.reading import read_yaml

SMOKE = Path(__file__).parents[1] / "config/experiments/smoke.yaml"


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
    content = read_yaml(SMOKE) | {"lock": "study"}
    content["sources"] = {source: {"licence": "CC0-1.0", "parts": parts} for source, parts in sources.items()}
    content["mixtures"] = {"all": {"tokens": 1024, "sources": {next(iter(sources)): {"tokens": 1024}}}}
    for model in content["models"].values():
        model["mixture"] = "all"
    content["classify"]["labels"].pop("weights")
    path = root / "config" / "experiments" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    return path


def local_part(*files: str) -> dict:
    return {"kind": "local", "files": list(files), "reader": "text_file"}
