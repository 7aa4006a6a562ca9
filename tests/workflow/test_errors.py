"""What goes wrong is said in one sentence, with an exit code, before work is wasted."""

import json
import os

import pytest

pytestmark = pytest.mark.slow

SMOKE = "config/experiments/smoke.yaml"


def one_sentence(log: str) -> str:
    """The only line of an answer that reports an error."""
    (line,) = [line for line in log.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in log
    return line


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        (SMOKE, "max_lr", "max_rl", "smoke.yaml: pretraining.max_rl: unknown key; did you mean max_lr? allowed here: "),
        (
            SMOKE,
            "epochs: 1\n",
            "epochs: one\n",
            "smoke.yaml: sft.training.epochs: input should be a valid integer, not 'one'",
        ),
        (
            SMOKE,
            "tokens: 40_000",
            "tokens: 40_001",
            "smoke.yaml: mixtures.curated.tokens: the sources sum to 40,000 tokens",
        ),
        (
            SMOKE,
            "mixture: curated",
            "mixture: cured",
            "smoke.yaml: models.trellis.mixture: there is no mixture 'cured'",
        ),
        (
            SMOKE,
            "vocab_size: 512",
            "vocab_size: 70000",
            "tokenizer.train.vocab_size: input should be less than or equal to 65536",
        ),
        (
            SMOKE,
            "max_length: 256",
            "max_length: 512",
            "sft.training.max_length: 512 tokens do not fit pretraining.context",
        ),
        (
            SMOKE,
            "lock: demo",
            "lock: nowhere",
            "lock: config/locks/nowhere.json, which pins every file of the data, does not exist",
        ),
        (
            "config/config.yaml",
            "machine:",
            "machines:",
            "config/config.yaml: machines: unknown key; did you mean machine?",
        ),
        (
            "config/locks/demo.json",
            '"version"',
            '"verzion"',
            "config/locks/demo.json: packages.awscli.verzion: unknown key",
        ),
    ],
)
def test_a_bad_config_stops_before_any_job(pristine, tmp_path, file, old, new, sentence):
    workflow = pristine.clone(tmp_path / "trellis")
    workflow.edit(file, old, new)
    assert workflow.snakemake().returncode != 0
    assert sentence in one_sentence(workflow.log)
    assert "rule " not in workflow.log
    assert not (workflow.folder / "results").exists()


def test_an_unknown_experiment_and_one_on_the_hub(pristine, tmp_path):
    workflow = pristine.clone(tmp_path / "trellis")
    assert workflow.snakemake(experiment="smook").returncode != 0
    assert "there is no experiment 'smook'; did you mean smoke?" in one_sentence(workflow.log)
    assert workflow.snakemake(experiment="trellis-506m").returncode != 0
    assert "config/locks/trellis-506m.json, which pins every file of the data, does not exist" in one_sentence(
        workflow.log
    )
    (workflow.folder / "config/locks/trellis-506m.json").write_text(
        (workflow.folder / "config/locks/demo.json").read_text()
    )
    assert workflow.snakemake(experiment="trellis-506m").returncode != 0
    assert (
        "sources.fineweb_edu_curated.parts.0: the lock does not pin datasets/HuggingFaceFW/fineweb-edu; run "
        "`python -m trellis lock trellis-506m`"
    ) in one_sentence(workflow.log)


def test_a_wheel_with_the_wrong_hash_is_named_and_not_kept(pristine, tmp_path):
    workflow = pristine.clone(tmp_path / "trellis")
    lock = workflow.folder / "config/locks/demo.json"
    content = json.loads(lock.read_text())
    content["packages"]["mendeleev"]["sha256"] = "0" * 64
    lock.write_text(json.dumps(content))
    assert workflow.snakemake().returncode != 0
    sentence = one_sentence(workflow.log)
    assert (
        "error: download_wheel wheel-mendeleev: mendeleev 1.3.0 could not be fetched: the wheel on offer has sha256"
        in sentence
    )
    assert "log: results/download/wheel-mendeleev-" in sentence
    assert not list(workflow.folder.glob("results/download/wheel-mendeleev-*/*.whl"))
    assert not list(workflow.folder.glob("results/download/wheel-mendeleev-*/manifest.json"))


@pytest.mark.parametrize(("pin", "stops"), [("NVIDIA GeForce RTX 4090", True), ("NVIDIA H100", False), ("any", False)])
def test_training_is_pinned_to_the_configured_gpu(workflow, tmp_path, monkeypatch, pin, stops):
    """With a driver's command that says what GPU there is; no GPU is touched, as there is nothing left to do."""
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho NVIDIA H100\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    workflow.edit(SMOKE, "device: cpu", "device: cuda")
    workflow.edit("config/config.yaml", "NVIDIA GeForce RTX 4090", pin)
    (workflow.folder / "results/report.html").unlink()
    answer = workflow.snakemake()
    assert (answer.returncode != 0) == stops, workflow.log
    if stops:
        assert (
            "machine.gpu_model: training is pinned to NVIDIA GeForce RTX 4090, and this machine has NVIDIA H100"
            in workflow.log
        )


def test_gpu_jobs_ask_for_one_gpu_each_and_processor_jobs_for_none(pristine, tmp_path):
    workflow = pristine.clone(tmp_path / "trellis")
    workflow.snakemake("--dry-run")
    assert "gpu=1" not in workflow.log
    workflow.edit(SMOKE, "device: cpu", "device: cuda")
    workflow.snakemake("--dry-run")
    asking = {block.split(":")[0] for block in workflow.log.split("\nrule ")[1:] if "gpu=1" in block.split("\n\n")[0]}
    assert asking == {"classify_train", "classify_score", "pretrain_train", "sft_train", "evaluate_generate"}
