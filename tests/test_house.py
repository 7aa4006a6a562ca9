"""The walls of the house: who may import whom, what rules look like, and that lock, environment and code agree."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from imagined import imagined_lock
from trellis.address import code_digest
from trellis.dataflow import build_jobs
from trellis.experiment.whole import load_experiment
from trellis.plan import load_plan

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow/scripts/trellis"
STAGES = {"download", "classify", "filter", "tokenize", "pretrain", "sft", "evaluate", "report"}
STUDY = load_experiment(ROOT / "config/experiments/trellis-506m.yaml")
ALL_JOBS = [*load_plan(ROOT).jobs, *build_jobs(STUDY, imagined_lock(STUDY))]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written out"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.split(".")[1] for name in names if name.startswith("trellis.")}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_stage_imports_the_ground_floor_and_itself(path):
    own = path.relative_to(PACKAGE).parts[0]
    assert not (imported(path) & STAGES) - {own}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_fits_in_one_reading(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert text.count("\n") <= 320


def test_every_file_beside_the_code_is_hashed_by_a_stage():
    hashed = set()
    for stage, command in {(job.stage, job.command) for job in ALL_JOBS}:
        for name in code_digest(f"trellis.{stage}.{command}"):
            if ":" in name:
                module, file = name.split(":")
                hashed.add((PACKAGE / "/".join(module.split(".")[1:-1]) / file).resolve())
    beside = {path.resolve() for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert beside == hashed


def test_every_command_has_a_rule_and_every_rule_a_command():
    written = {name for path in RULES for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)}
    assert written - {"report_publish"} == {job.rule for job in ALL_JOBS}


@pytest.mark.parametrize("path", [path for path in RULES if path.stem != "common"], ids=lambda path: path.stem)
def test_rules_are_wiring(path):
    text = path.read_text()
    assert text.startswith("# Reads:") and "\n# Writes:" in text
    assert not re.search(
        r"^\s*(run|script|checkpoint|message|shadow|params):|lambda|update\(|protected\(", text, re.MULTILINE
    )
    for rule in text.split("\nrule ")[1:]:
        name = rule.split(":")[0]
        assert name.startswith(path.stem + "_")
        for directive in (
            "input:",
            "output:",
            "log:",
            "benchmark:",
            'conda:\n        "../../envs/trellis.yaml"',
            "shell:",
        ):
            assert directive in rule, f"{name} has no {directive}"
        shell = " ".join(re.findall(r'"(.*?)"', rule.split("shell:")[1]))
        # A pretraining may be several processes.
        started = "launcher()" in rule.split("shell:")[1]
        assert (f"python{shell}" if started else shell).startswith(f"python -m trellis.{path.stem}")
        assert "&&" not in shell and ";" not in shell
    assert len(text.splitlines()) < 200


def test_the_snakefile_is_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 60


def test_the_conda_environment_is_the_lock():
    lock = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")]
    conda = yaml.safe_load((ROOT / "envs/trellis.yaml").read_text())
    (pip,) = [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)]
    assert pip == lock
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lock)


def test_the_lock_lies_within_the_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for line in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), line


def test_every_import_of_the_package_is_a_declared_dependency():
    """What is imported must be asked for by name, not come along with something else."""
    declared = (ROOT / "pyproject.toml").read_text()
    names = {
        "yaml": "pyyaml",
        "jsonschema_rs": "jsonschema-rs",
        "huggingface_hub": "huggingface-hub",
        "lm_eval": "lm-eval",
    }
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in modules} - {"trellis"} - sys.stdlib_module_names:
                assert f'"{names.get(module, module)}' in declared, f"{path}: {module}"


def test_the_locks_are_canonical():
    for path in (ROOT / "config/locks").glob("*.json"):
        text = path.read_text()
        assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n", path


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
    ],
    ids=["ruff-format", "ruff-check", "snakefmt"],
)
def test_formatters_and_linters_have_nothing_to_say(command):
    answer = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_snakemake_lint():
    """Nothing is waived."""
    answer = subprocess.run(["snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
