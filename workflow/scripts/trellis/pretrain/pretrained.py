"""A model that was pretrained elsewhere: checked, and put into the same folder as one that is trained here.

Nothing is trusted that the lock's hashes do not cover: safetensors only, an architecture that transformers itself has, and
every weight of it present in its shape, so that no layer starts at random.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from trellis.command import Result
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.models import Model
from trellis.local_files import locked_files
from trellis.pretrain.card import released_card
from trellis.pretrain.export import furnish
from trellis.spec import Spec

LOADED_BY_CODE = ("auto_map", "custom_pipelines")
INDEX = "model.safetensors.index.json"


def run(spec: Spec, out: Path) -> Result:
    """Writes `model/`. Raises TrellisError when the files are not the model that the experiment states, speak of other
    tokens or, in a folder of this machine, are not those that were locked."""
    model = TypeAdapter(Model).validate_python(spec.config["model"])
    files, tokenizer = _files(spec), spec.input("tokenizer")
    module = _empty(model.origin, files["config.json"])
    counted = sum(weight.numel() for weight in module.parameters())
    if counted != model.parameters:
        raise TrellisError(
            f"{model.origin} has {counted:,} parameters and the experiment states {model.parameters:,}; correct "
            f"models.{spec.name}.parameters"
        )
    rows = module.get_input_embeddings().weight.shape[0]
    if rows != spec.config["vocab_size"]:
        raise TrellisError(
            f"{model.origin} has {rows:,} rows in its embedding and tokenizer.vocab_size is "
            f"{spec.config['vocab_size']:,}; all models of an experiment share one tokenizer"
        )
    _check_tokenizer(model.origin, rows, tokenizer.path("tokenizer/tokenizer.json"), files["tokenizer.json"])

    folder = out / "model"
    folder.mkdir()
    for name, path in files.items():
        if name in ("config.json", INDEX) or path.suffix == ".safetensors":
            shutil.copyfile(path, folder / name)
    _check_weights(model.origin, folder)
    # 6 per parameter and token (Kaplan et al., 2020): what a card tells is enough for it.
    flops = 6 * model.parameters * model.training_tokens
    metrics = {
        "architecture": module.config.model_type,
        "parameters": counted,
        "tokens": model.training_tokens,
        "training_flops": flops,
        "repo" if model.kind == "pretrained" else "folder": model.origin,
    }
    furnish(folder, tokenizer, released_card(spec, type(module).__name__, metrics))
    return Result(metrics)


def _files(spec: Spec) -> dict[str, Path]:
    """The model's files by their names, from the hub or from a folder of this machine."""
    local = spec.config["model"]["kind"] == "pretrained_folder"
    paths = locked_files(spec).values() if local else spec.input("files").paths("files/")
    return {path.name: path for path in paths}


def _empty(origin: str, path: Path) -> PreTrainedModel:
    """The module that a config.json describes, without weights: of transformers' own architectures, which need nobody's
    code."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrellisError(f"{origin}: config.json is not JSON ({error})") from None
    if any(_asks_for_code(key, value) for key, value in _pairs(content)):
        raise TrellisError(f"{origin}: config.json asks for code of its own, and code from elsewhere is never run")
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(AutoConfig.for_model(**content))
    except Exception as error:  # Every configuration class refuses nonsense in its own way.
        raise TrellisError(
            f"{origin}: config.json describes no causal language model that transformers knows ({_reason(error)})"
        ) from None


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value with what it holds, however deep."""
    if isinstance(content, dict):
        yield from content.items()
    for each in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from _pairs(each)


def _asks_for_code(key: str, value: Any) -> bool:
    """Classes of its own, or a kernel (of attention, say) that transformers would fetch from a repository."""
    return key in LOADED_BY_CODE or (key.endswith("_implementation") and "/" in str(value))


def _check_weights(origin: str, folder: Path) -> None:
    """Loads the model once, as fine-tuning will."""
    try:
        # Where there are several files, their index may lead to nothing but them.
        named = (
            json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"] if (folder / INDEX).exists() else {}
        )
        if strange := set(named.values()) - {path.name for path in folder.glob("*.safetensors")}:
            raise OSError(f"{INDEX} names {min(strange)}")
        _, found = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (
        AttributeError,
        ImportError,
        KeyError,
        OSError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        raise TrellisError(
            f"{origin}: its safetensors files do not load as the model that config.json describes ({_reason(error)})"
        ) from None
    if missing := sorted(found["missing_keys"]):
        raise TrellisError(
            f"{origin}: {missing[0]} is missing in its safetensors files ({len(missing)} weights in all); part of the "
            f"model would start at random"
        )


def _check_tokenizer(origin: str, rows: int, ours: Path, theirs: Path) -> None:
    """The words and the end of text must be the model's own; special tokens of a chat template may take free rows."""
    mine, released = Tokenizer.from_file(str(ours)), Tokenizer.from_file(str(theirs))
    if _words(mine) != _words(released) or mine.token_to_id(END_OF_TEXT) != released.token_to_id(END_OF_TEXT):
        raise TrellisError(
            f"{origin} was trained with other tokens than the experiment's tokenizer gives; take `tokenizer` from a "
            f"repository with the same vocabulary, or leave this model out"
        )
    token, last = max(mine.get_vocab().items(), key=lambda pair: pair[1])
    if last >= rows:
        raise TrellisError(
            f"{origin} has {rows:,} rows in its embedding, and the experiment's tokenizer gives {token} the id {last:,}; "
            f"take it out of tokenizer.special_tokens"
        )


def _words(tokenizer: Tokenizer) -> dict[str, int]:
    """All tokens that text is made of, with their ids."""
    added = tokenizer.get_added_tokens_decoder().items()
    return tokenizer.get_vocab(with_added_tokens=False) | {
        token.content: index for index, token in added if not token.special
    }


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
