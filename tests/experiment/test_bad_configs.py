"""Every mistake in a config is one sentence that names file, key and what is allowed."""

import shutil
from pathlib import Path
from typing import get_args

import pytest
import yaml

from imagined import imagined_lock
from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.experiment.prereg import Contrast, Metric
from trellis.experiment.reading import read_yaml
from trellis.experiment.section import complete, semantic
from trellis.experiment.whole import load_experiment
from trellis.plan import load_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workflow(tmp_path):
    """A copy of the config folder, with the demo's experiment to be spoilt."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def spoil(workflow, path, value, name="experiments/demo.yaml"):
    file = workflow / "config" / name
    content = read_yaml(file)
    at = content
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    file.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            ["pretraining", "max_rl"],
            0.1,
            "pretraining.max_rl: unknown key; did you mean max_lr[?] allowed here: .*batch_tokens",
        ),
        (["models", "trellis", "head"], 4, "models.trellis.llama.head: unknown key; did you mean heads"),
        (
            ["sources", "sqale", "parts", 0, "reeder"],
            "x",
            r"parts.0.wheel.reeder: unknown key; did you mean reader",
        ),
        (["pretraining", "max_lr"], "fast", "pretraining.max_lr: input should be a valid number, not 'fast'"),
        (["pretraining", "context"], 0, "pretraining.context: input should be greater than 0, not 0"),
        (["pretraining", "context"], None, "pretraining.context: this key is required and missing"),
        (["tokenizer", "vocab_size"], 70_000, "tokenizer.train.vocab_size: .*less than or equal to 65536, not 70000"),
        (
            ["mixtures", "curated", "tokens"],
            300_001,
            "mixtures.curated.tokens: the sources sum to .* tokens, not to 300,001",
        ),
        (
            ["models", "trellis", "mixture"],
            "cured",
            "models.trellis.mixture: there is no mixture 'cured'",
        ),
        (["mixtures", "curated", "sources", "nowhere"], {"tokens": 1}, "mixtures.curated"),
        (
            ["sft", "training", "max_length"],
            4096,
            "sft.training.max_length: 4096 tokens do not fit pretraining.context",
        ),
        (
            ["sources", "sqale", "parts", 0, "package"],
            "mendel",
            "parts.0.package: the lock does not pin mendel; run `python -m trellis lock demo`",
        ),
        (
            ["sft", "mixes", "schemas", "hub"],
            [{"repo": "a/b", "files": [name], "converter": "messages", "examples": 1} for name in "xy"],
            "sft.mixes.schemas: hub names a/b twice; name all of its `files` in one set",
        ),
        (
            ["sft", "training", "seeds"],
            [1, 0, 0, 0],
            "sft.training.seeds: seed 0 stands in the list again, as one run that counts twice; name each seed once$",
        ),
        (["prereg"], {}, "prereg: what is compared stands in config/prereg.yaml; name an entry of it"),
        (["lock"], "nowhere", "lock: config/locks/nowhere.json, which pins every file of the data, does not exist"),
        (["device"], "tpu", "device: input should be 'cpu', 'cuda' or 'auto', not 'tpu'; did you mean cpu[?]"),
    ],
)
def test_each_mistake_is_one_sentence(workflow, path, value, sentence):
    spoil(workflow, path, value)
    with pytest.raises(TrellisError, match=sentence) as caught:
        load_plan(workflow)
    message = str(caught.value)
    assert "config/experiments/demo.yaml: " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["demo", "primary"], None, "demo.primary: this key is required and missing"),
        (["demo", "primari"], {}, "demo.primari: unknown key; did you mean primary[?] allowed here: .*margin"),
        (["demo"], ["trellis"], "demo: holds no keys; an entry has at least a `primary` comparison"),
        (["demo", "margin"], 3, "demo.margin: input should be less than 1, not 3"),
        (["demo", "minimum_seeds"], 1, "demo.minimum_seeds: input should be greater than or equal to 2, not 1"),
        (
            ["demo", "primary", "split"],
            "fair",
            "demo.primary.split: input should be .*, not 'fair'; did you mean far[?]",
        ),
        (["demo", "primary", "metric"], "vibes", "demo.primary.metric: input should be 'parse'"),
        (["demo", "secondary", 1, "metric"], "exakt", "demo.secondary.1.metric: .*did you mean exact[?]"),
        (
            ["demo", "primary", "control"],
            "neox1x",
            r"demo.primary.control: there is no model 'neox1x' \(allowed: neox-1x, .*; did you mean neox-1x\?\)",
        ),
        (["demo", "primary", "control"], "trellis", "demo.primary.control: trellis cannot be compared with itself"),
        (
            ["demo", "secondary", 0, "suite"],
            "shema",
            r"demo.secondary.0.suite: there is no suite 'shema' \(.*schema\?\)",
        ),
        (["demo", "primary", "metric"], "ast", r"demo.primary.metric: suite schema \(schema\) does not measure ast"),
        (["demo", "secondary", 0, "control"], "neox-1x", "demo.secondary.0: is the same comparison as primary"),
        (
            ["demo", "secondary", 0],
            {"treatment": "trellis", "control": "neox-1x", "suite": "format", "split": "far", "metric": "parse"},
            r"demo.secondary.0.split: suite format \(format\) has no schemas, so none of its items are far",
        ),
        (
            ["demo", "secondary", 1],
            {"treatment": "trellis", "control": "neox-1x", "suite": "format", "split": "all", "metric": "schema_valid"},
            r"demo.secondary.1.metric: suite format \(format\) does not measure schema_valid",
        ),
        (
            ["demo", "secondary", 1],
            {"treatment": "trellis", "control": "neox-1x", "suite": "format", "split": "all", "metric": "exact"}
            | {"mode": "constrained"},
            r"demo.secondary.1.mode: suite format \(format\) has no schemas to constrain decoding by",
        ),
    ],
)
def test_each_mistake_of_the_preregistration_is_one_sentence(workflow, path, value, sentence):
    spoil(workflow, path, value, "prereg.yaml")
    with pytest.raises(TrellisError, match=sentence) as caught:
        load_plan(workflow)
    message = str(caught.value)
    assert "config/prereg.yaml: demo" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("schema", {"ast", "execution"}),
        ("extraction", {"ast", "execution"}),
        ("function_calling", {"execution"}),
        ("json_schema", {"ast", "execution", "exact", "leaf_f1"}),
        ("text_to_sql", {"ast", "schema_valid", "exact", "leaf_f1", "key_f1"}),
        ("format", {"ast", "execution", "schema_valid"}),
    ],
)
def test_a_kind_of_suite_measures_what_its_scorer_gives(kind, lacking):
    pair = {"treatment": "a", "control": "b", "suite": "x", "split": "all"}
    refused = {
        metric for metric in get_args(Metric) if Contrast.model_validate(pair | {"metric": metric}).impossible(kind)
    }
    assert refused == lacking


def test_a_mode_that_is_not_generated_cannot_be_compared(workflow):
    spoil(workflow, ["evaluation", "generation", "modes"], ["constrained"])
    with pytest.raises(
        TrellisError, match=r"prereg.yaml: demo.primary.mode: evaluation.generation.modes .* has no free"
    ):
        load_plan(workflow)


def test_an_experiment_must_have_been_written_down_before(workflow):
    spoil(workflow, ["preregistered_as"], "dem")
    with pytest.raises(
        TrellisError, match=r"prereg.yaml: there is no entry dem \(did you mean demo\?\); write down its"
    ) as caught:
        load_plan(workflow)
    assert "(demo, miniature, smoke, trellis-506m) as `preregistered_as` in " in str(caught.value)
    (workflow / "config/prereg.yaml").unlink()
    with pytest.raises(TrellisError, match="there is no prereg.yaml in the folders above it"):
        load_plan(workflow)


def test_an_ablation_takes_over_what_another_experiment_wrote_down(workflow):
    spoil(workflow, ["preregistered_as"], "smoke")
    assert load_experiment(workflow / "config/experiments/demo.yaml").prereg.primary.metric == "parse"


def test_an_experiment_that_is_not_there(workflow):
    with pytest.raises(TrellisError, match=r"there is no experiment 'dmeo'; did you mean demo\? \(allowed: demo, "):
        load_plan(workflow, {"experiment": "dmeo"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [1", "not YAML"),
        ("- 1\n", "holds no keys"),
        ("title: x\ntitle: y\n", "key 'title' is given twice"),
        (b"\xff\xfe\x00", "not YAML"),
    ],
)
def test_files_that_are_no_experiment(workflow, content, sentence):
    file = workflow / "config/experiments/demo.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TrellisError, match=sentence):
        load_plan(workflow)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "config/experiments").glob("*.yaml")))
def test_every_experiment_that_ships_is_valid(name):
    load_experiment(ROOT / "config/experiments" / f"{name}.yaml")


def test_the_studys_numbers():
    study = load_experiment(ROOT / "config/experiments/trellis-506m.yaml")
    shares = {name: share.tokens / 1e9 for name, share in study.mixtures["curated"].sources.items()}
    assert shares == {
        "fineweb_edu_curated": 4.3,
        "starcoderdata": 3.9,
        "finemath": 3.2,
        "pes2o": 2.2,
        "fineweb_edu_random": 2.0,
        "structured_wikipedia": 1.5,
        "sqale": 1.0,
        "stackexchange": 1.0,
        "wikipedia": 0.5,
        "ultrachat": 0.4,
    }
    assert sum(share.tokens for share in study.mixtures["curated"].sources.values()) == 20_000_000_000
    model, recipe = study.models["trellis-506m"], study.pretraining
    shape = (model.hidden_size, model.intermediate_size, model.layers, model.heads, model.kv_heads)
    assert shape == (1280, 2816, 24, 20, 10)
    assert (model.parameters, study.tokenizer.vocab_size, model.tie_embeddings) == (506_328_320, 50_304, False)
    assert (model.norm_eps, model.rope_theta) == (1e-5, 10_000)
    assert recipe.batch_tokens == recipe.micro_batch * recipe.context * 16 == 131_072
    assert (recipe.max_lr, recipe.min_lr, recipe.warmup_steps, recipe.schedule) == (3e-4, 3e-5, 2000, "cosine")
    assert (recipe.betas, recipe.weight_decay, recipe.clip) == ((0.9, 0.95), 0.1, 1.0)
    assert {model.repo for model in study.models.values() if model.kind == "pretrained"} == {
        "EleutherAI/pythia-410m-deduped",
        "EleutherAI/pythia-1b-deduped",
    }


def test_the_studys_evaluation():
    study = load_experiment(ROOT / "config/experiments/trellis-506m.yaml")
    schemas, suites, primary = study.evaluation.schemas, study.evaluation.suites, study.prereg.primary
    assert suites["schema"].unseen >= 2000 and schemas.held_out >= 500 and len(schemas.held_out_strata) == 6
    assert {"conditional", "adversarial"} == set(schemas.held_out_strata) - set(schemas.training_strata)
    assert {suite.kind for suite in suites.values()} == {
        *("schema", "function_calling", "json_schema", "extraction", "text_to_sql", "format")
    }
    assert study.evaluation.knowledge.tasks.keys() == {
        *("lambada_openai", "piqa", "arc_easy", "arc_challenge", "sciq", "winogrande", "hellaswag")
    }
    assert (primary.suite, primary.split, primary.metric, primary.mode) == ("schema", "far", "exact", "free")
    assert len(set(study.sft.training.seeds)) >= 3 <= study.prereg.minimum_seeds and study.prereg.margin == 0.03
    assert study.evaluation.base_models and {*study.evaluation.generation.modes} == {"free", "constrained"}


@pytest.mark.parametrize(
    ("mixture", "model", "arm"),
    [
        ("uncurated", "trellis-uncurated", "random"),
        ("topics_only", "trellis-topics", "topics_only"),
        ("complexity_only", "trellis-complexity", "complexity_only"),
    ],
)
def test_an_ablation_of_the_study_is_a_line_for_the_mixture_and_one_for_the_model(tmp_path, mixture, model, arm):
    """The same architecture on the same budgets by another rule; nothing that is there is made again."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config/experiments/trellis-506m.yaml"
    study, text = load_experiment(path), path.read_text()
    for name in (mixture, model):
        assert f"  # {name}: " in text
        text = text.replace(f"  # {name}: ", f"  {name}: ")
    path.write_text(text)
    lock = imagined_lock(study)
    before, after = (
        {job.fingerprint: job for job in build_jobs(each, lock)} for each in (study, load_experiment(path))
    )
    made = [job for key, job in after.items() if key not in before]
    data = [job for job in made if job.stage in ("download", "classify", "filter", "tokenize")]
    assert [job.command for job in data] == ["select", "pack"] and data[0].config["mixture"].arm == arm
    (trained,) = (job for job in made if job.stage == "pretrain")
    (original,) = (job for job in before.values() if job.stage == "pretrain" and job.command == "train")
    assert trained.inputs["mixture"] == [data[1]] != original.inputs["mixture"]
    assert {key for key in original.config if semantic(original.config[key]) != semantic(trained.config[key])} <= {
        "model"
    }
    shapes = [semantic(job.config["model"]) for job in (original, trained)]
    assert {**shapes[0], "mixture": mixture} == {**shapes[1], "mixture": mixture}
    assert {job.name for job in made if job.stage == "sft"} == {f"{model}-s{seed}" for seed in (0, 1, 2)}


def test_runtime_keys_stay_out_of_what_is_hashed():
    recipe = load_experiment(ROOT / "config/experiments/demo.yaml").pretraining
    runtime = complete(recipe).keys() - semantic(recipe).keys()
    assert runtime == {
        "micro_batch",
        "gradient_checkpointing",
        "compile",
        "deterministic",
        "log_interval",
        "checkpoint_minutes",
        "tracker",
    }
