"""A fine-tuning in miniature: conversations, and the orders to train on them."""

import json
from pathlib import Path

from transformers import AutoTokenizer

from publishing import publish
from small_models import publish_model
from trellis.experiment.sft import CHATML_TOKENS, SftTraining
from trellis.manifest import Manifest
from trellis.records import write_records
from trellis.spec import Spec

EXAMPLES, STEPS = 18, 5  # the last step has fewer examples
TRAINING = {
    "epochs": 1,
    "batch": 4,
    "max_length": 128,
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "precision": "float32",
    "seeds": [3],
    "micro_batch": 4,
}


def publish_base(folder: Path, kind: str = "llama") -> Path:
    """A model as it leaves pretraining; its tokenizer has the tokens of ChatML, which it has never seen."""
    publish_model(folder, kind, context=160, template=None)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.add_special_tokens({"extra_special_tokens": list(CHATML_TOKENS)})
    tokenizer.save_pretrained(folder / "model")
    return publish(folder)


def publish_conversations(folder: Path, count: int = EXAMPLES) -> Path:
    """`count` of them, every third one of two turns; all with answers that would end the turn if they could."""
    ends = ("<|endoftext|>", "<|im_end|>", "")
    talks = [
        [
            {"role": "user", "content": f"{'na ' * (number % 7)}{number}?"},
            {"role": "assistant", "content": f"{ends[number % 3]}batman{'!' * (number % 5)} {number}"},
        ]
        * (1 + (number % 3 == 0))
        for number in range(count)
    ]
    rows = [{"id": f"e{number}", "schema_id": None, "messages": talk} for number, talk in enumerate(talks)]
    write_records(folder / "train.jsonl", rows)
    return publish(folder)


def tuning(make_spec, base: Path, data: Path, template: str = "plain", **changes) -> Spec:
    """The order to fine-tune; runtime keys change nothing of its fingerprint."""
    training, inputs = SftTraining.model_validate(TRAINING | changes), {"base": [base], "data": [data]}
    spec = make_spec("sft", "train", "t", {"training": training, "template": template}, inputs)
    training = training.model_copy(update={"micro_batch": 4, "checkpoint_minutes": 10.0})
    same = make_spec("sft", "train", "t", {"training": training, "template": template}, inputs)
    return spec.model_copy(update={"fingerprint": same.fingerprint})


def digests(made: Manifest) -> dict[str, str]:
    return {file.path: file.sha256 for file in made.files}


def lines(made: Manifest) -> list[dict]:
    return [json.loads(line) for line in (made.folder / "metrics.jsonl").read_text().splitlines()]


def command(spec: Spec, folder: Path) -> list[str]:
    """The stage's words for this order, with its log in `folder` and its result in `folder/out`."""
    (folder / "spec.json").write_text(spec.model_dump_json())
    return ["--spec", str(folder / "spec.json"), "--out", str(folder / "out"), "--log", str(folder / "log.txt")]
