"""YAML as people mean it: 3e-4 is a number, and a key that is given twice is an error."""

import re
from pathlib import Path

import yaml

from trellis.errors import TrellisError

MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 3e-4 as text and keeps the last of two equal keys; this loader does neither."""

    def construct_mapping(self, node, deep=False):
        # `<<: *anchor` takes over another mapping's keys.
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict:
    """The file's mapping. Raises TrellisError when it is missing, no YAML, or no mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise TrellisError(f"{path}: this file does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrellisError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise TrellisError(f"{path}: holds no keys; an experiment is a YAML mapping")
    return content
