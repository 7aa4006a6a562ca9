"""Files of this machine that the lock pins."""

from pathlib import Path

from trellis.errors import TrellisError
from trellis.experiment.lock import PinnedFile
from trellis.manifest import file_sha256
from trellis.spec import Spec


def locked_files(spec: Spec) -> dict[str, Path]:
    """The files of a spec's config `local`, by their path in the lock, in the order of the paths. Raises TrellisError
    for one that is not there, or is not what was locked."""
    again, found = f"run `python -m trellis lock {spec.experiment}` again", {}
    for name, pinned in sorted(spec.config["local"].items()):
        path, pin = Path(name), PinnedFile.model_validate(pinned)
        if not path.is_file():
            raise TrellisError(f"{name}, which the lock pins, is not there; put it back, or {again}")
        if path.stat().st_size != pin.bytes or file_sha256(path) != pin.sha256:
            raise TrellisError(f"{name} has changed since it was locked; put back what was locked, or {again}")
        found[name] = path
    return found
