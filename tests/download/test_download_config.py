"""The `sources` section agrees with the code that reads it, and refuses what cannot be meant."""

import importlib
import pkgutil
from typing import get_args

import pytest
from pydantic import ValidationError

from trellis.download import readers, renderers
from trellis.download.ingest import reader_named
from trellis.experiment.sources import Reader, Renderer, Source


def test_config_code_and_folder_name_the_same_readers():
    modules = {module.name for module in pkgutil.iter_modules(readers.__path__)}
    modules = {name for name in modules if hasattr(importlib.import_module(f"{readers.__name__}.{name}"), "read")}
    assert modules == set(get_args(Reader))
    assert all(callable(reader_named(name).read) for name in modules)


def test_config_and_folder_name_the_same_renderers():
    modules = {module.name for module in pkgutil.iter_modules(renderers.__path__)}
    assert modules == set(get_args(Renderer))
    assert all(callable(importlib.import_module(f"{renderers.__name__}.{name}").render) for name in modules)


WHEEL = {"kind": "wheel", "package": "tiny", "reader": "codeio", "members": ["a"]}
LOCAL = {"kind": "local", "files": ["a.jsonl"], "reader": "text_column"}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"parts": [WHEEL, LOCAL]}, "make two sources of them"),
        ({"parts": [LOCAL], "max_documents": 5}, "max_documents is for sources of wheels"),
        ({"parts": [WHEEL], "language": "en"}, "are for parts of kind hub or local"),
        ({"parts": [WHEEL], "min_compression": 0.1}, "are for parts of kind hub or local"),
        ({"parts": [LOCAL], "language": "english"}, "language"),
    ],
)
def test_keys_that_would_do_nothing_are_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Source(licence="MIT", **keys)


def test_limits_in_the_wrong_order_are_a_config_error():
    part = {"kind": "wheel", "package": "tiny", "reader": "codeio", "members": ["a"]}
    with pytest.raises(ValidationError, match="min_chars"):
        Source(licence="MIT", parts=[part], min_chars=200, max_chars=100)
