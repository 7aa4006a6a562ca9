"""The `sources` section agrees with the code that reads it, and refuses what cannot be meant."""

import importlib
import pkgutil
from typing import get_args

import pytest
from pydantic import ValidationError

from trellis.download import readers
from trellis.download.ingest import READERS
from trellis.experiment.sources import Reader, Source


def test_config_code_and_folder_name_the_same_readers():
    modules = {module.name for module in pkgutil.iter_modules(readers.__path__)}
    modules = {name for name in modules if hasattr(importlib.import_module(f"{readers.__name__}.{name}"), "read")}
    assert modules == set(READERS) == set(get_args(Reader))


def test_limits_in_the_wrong_order_are_a_config_error():
    part = {"kind": "wheel", "package": "tiny", "reader": "codeio", "members": ["a"]}
    with pytest.raises(ValidationError, match="min_chars"):
        Source(licence="MIT", parts=[part], min_chars=200, max_chars=100)
