"""Where every number comes from: results, versions, machine, data and the whole configuration."""

from typing import Any

import yaml

from trellis.report.results import Results


def provenance_section(
    results: Results, experiment: dict[str, Any], repositories: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What the manifests recorded; where jobs ran under different versions or commits, all are listed. `repositories` are
    the lock's, by name."""
    versions: dict[str, set[str]] = {}
    for made in results.manifests:
        versions.setdefault("python", set()).add(made.run["python"])
        for package, version in made.run["versions"].items():
            versions.setdefault(package, set()).add(version)
    return {
        "versions": {package: sorted(found) for package, found in sorted(versions.items())},
        "commits": _counted(made.run["commit"] for made in results.manifests),
        "hardware": _counted(made.run["hardware"] for made in results.manifests),
        "adopted": [(made, entry) for made in results.manifests for entry in made.adopted],
        "packages": [made.components["config"] for made in results.of("download", "wheel")],
        "repositories": _fetched(results, repositories),
        "sources": [(name, source, _origins(source)) for name, source in experiment["sources"].items()],
        "results": results.manifests,
        "config": yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=100),
    }


def commit_statement(results: Results) -> str:
    """Whether the repository's history can show that the comparison was fixed before there were results."""
    commits = sorted({made.run["commit"] for made in results.manifests})
    if "unknown" in commits:
        return "The code ran outside a git repository, so nothing but this statement shows that it came first."
    if any(commit.endswith("-dirty") for commit in commits):
        return (
            f"The results were made from commit {', '.join(commits)} with changes that were not committed, so the "
            f"history alone does not prove that it came first."
        )
    return f"The results were made from commit {', '.join(commits)}, whose tree holds that config."


def _fetched(results: Results, repositories: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per repository of which files were fetched: what the lock says of it, and how much was read."""
    rows: dict[str, dict[str, Any]] = {}
    for made in results.of("download", "hub"):
        name = made.metrics["repo"]
        row = rows.setdefault(name, {"name": name, **repositories[name], "files": 0, "bytes": 0})
        row["files"] += made.metrics["files"]
        row["bytes"] += made.metrics["bytes"]
    return [rows[name] for name in sorted(rows)]


def _origins(source: dict[str, Any]) -> list[str]:
    """The packages or repositories of a source's parts."""
    names = (part.get("package") or part.get("repo") or "files of this machine" for part in source["parts"])
    return list(dict.fromkeys(names))


def _counted(values) -> list[tuple[str, int]]:
    """(value, jobs), most jobs first."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
