"""A model that was pretrained elsewhere: checked, and put into the same folder as one that is trained here.

Nothing is trusted that the lock's hashes do not cover: safetensors only, an architecture that transformers itself has, and
every weight of it present in its shape, so that no layer starts at random.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from trellis.command import Result
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.models import Pretrained
from trellis.manifest import Manifest
from trellis.spec import Spec

LOADED_BY_CODE = ("auto_map", "custom_pipelines")


def run(spec: Spec, out: Path) -> Result:
    """Writes `model/`. Raises TrellisError when the files are no such model, or speak of other tokens."""
    model = Pretrained.model_validate(spec.config["model"])
    files, tokenizer = spec.input("files"), spec.input("tokenizer")
    config = _configuration(model, files.path("files/config.json"))
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(config)
    counted = sum(weight.numel() for weight in module.parameters())
    if counted != model.parameters:
        raise TrellisError(
            f"{model.repo} has {counted:,} parameters and the experiment states {model.parameters:,}; correct "
            f"models.{spec.name}.parameters"
        )
    if config.vocab_size != spec.config["vocab_size"]:
        raise TrellisError(
            f"{model.repo} has {config.vocab_size:,} rows in its embedding and tokenizer.vocab_size is "
            f"{spec.config['vocab_size']:,}; all models of an experiment share one tokenizer"
        )
    end_token = _check_tokenizer(model, files, tokenizer)

    folder = out / "model"
    folder.mkdir()
    for path in files.paths("files/"):
        if path.name == "config.json" or ".safetensors" in path.name:
            shutil.copy(path, folder / path.name)
    _check_weights(model, folder)
    GenerationConfig(bos_token_id=end_token, eos_token_id=end_token, pad_token_id=end_token).save_pretrained(folder)
    for path in tokenizer.paths("tokenizer/"):
        shutil.copy(path, folder / path.name)
    # 6 per parameter and token (Kaplan et al., 2020): what a card tells is enough for it.
    flops = 6 * model.parameters * model.training_tokens
    return Result({"parameters": counted, "tokens": model.training_tokens, "training_flops": flops, "repo": model.repo})


def _configuration(model: Pretrained, path: Path):
    """The transformers configuration, of an architecture that needs nobody's code."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if any(key in content for key in LOADED_BY_CODE):
        raise TrellisError(f"{model.repo}: config.json asks for code of its own, and code from elsewhere is never run")
    try:
        return AutoConfig.for_model(**content)
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise TrellisError(f"{model.repo}: config.json is not one that transformers knows ({reason})") from None


def _check_weights(model: Pretrained, folder: Path) -> None:
    """Loads the model once, as fine-tuning will."""
    try:
        _, found = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrellisError(
            f"{model.repo}: its safetensors files do not load as the model that config.json describes "
            f"({str(error).splitlines()[0][:200]})"
        ) from None
    if missing := sorted(found["missing_keys"]):
        raise TrellisError(
            f"{model.repo}: {missing[0]} is missing in its safetensors files ({len(missing)} weights in all); part of the "
            f"model would start at random"
        )


def _check_tokenizer(model: Pretrained, files: Manifest, tokenizer: Manifest) -> int:
    """The end-of-text token's id, once the model's own tokenizer gives the experiment's ids."""
    ours = Tokenizer.from_file(str(tokenizer.path("tokenizer/tokenizer.json")))
    theirs = Tokenizer.from_file(str(files.path("files/tokenizer.json")))
    same_words = ours.get_vocab(with_added_tokens=False) == theirs.get_vocab(with_added_tokens=False)
    if not same_words or ours.token_to_id(END_OF_TEXT) != theirs.token_to_id(END_OF_TEXT):
        raise TrellisError(
            f"{model.repo} was trained with other tokens than the experiment's tokenizer gives; take `tokenizer` from a "
            f"repository with the same vocabulary, or leave this model out"
        )
    return ours.token_to_id(END_OF_TEXT)
