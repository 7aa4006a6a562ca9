"""Fingerprints: what a result depends on, as a hash.

A result's address is computed before it exists, from its slice of the configuration, the code that makes it and the
addresses of what it reads. Touching, cloning or re-formatting changes nothing; a changed constant does.
"""

import ast
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from trellis.errors import TrellisError

PACKAGE = Path(__file__).parent
# Raised by hand when something outside config and code (a torch release, say) is known to change results.
SOFTWARE_EPOCH = 1
SHORT = 16


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, no NaN. Raises ValueError for what JSON cannot say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of a JSON value's canonical spelling, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def code_digest(module: str) -> dict[str, str]:
    """The digest of every module of this package that `module` (dotted name) imports, itself included, by dotted name.

    Imports inside functions count; packages on the way count, as Python runs them too. A module's data files (its
    DATA_FILES, paths relative to the module) are hashed as bytes under `module:path`.
    """
    found: dict[str, str] = {}
    parts = module.split(".")
    waiting = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _path(name)
        if path is None:
            raise TrellisError(f"no module {name} under {PACKAGE}: the plan names code that does not exist")
        syntax, imports, data_files = _parsed(path, name, path.stat().st_mtime_ns)
        found[name] = syntax
        for file in data_files:
            if not (path.parent / file).is_file():
                raise TrellisError(f"{path}: DATA_FILES names {file}, which is not there")
            found[f"{name}:{file}"] = hashlib.sha256((path.parent / file).read_bytes()).hexdigest()
        waiting += imports
    return dict(sorted(found.items()))


def fingerprint(*, stage: str, command: str, config: Any, code: dict[str, str], inputs: dict[str, list[str]]) -> str:
    """sha256 over all that decides a result's content, in hex; `inputs` holds the fingerprints of what is read, by role."""
    return digest(
        {
            "stage": stage,
            "command": command,
            "config": config,
            "code": code,
            "inputs": inputs,
            "software_epoch": SOFTWARE_EPOCH,
        }
    )


def _path(name: str) -> Path | None:
    parts = name.split(".")[1:]
    for path in (
        PACKAGE.joinpath(*parts, "__init__.py"),
        PACKAGE.joinpath(*parts).with_suffix(".py") if parts else None,
    ):
        if path is not None and path.is_file():
            return path
    return None


@functools.cache
def _parsed(path: Path, name: str, mtime_ns: int) -> tuple[str, list[str], tuple[str, ...]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise TrellisError(
            f"{path}:{error.lineno}: {error.msg}; the code of a stage must be readable to be addressed"
        ) from None
    syntax = hashlib.sha256(canonical_json(_plain(tree)).encode()).hexdigest()
    return syntax, sorted(_imports(tree, name, path.name == "__init__.py")), _data_files(tree)


def _plain(node: Any) -> Any:
    """A syntax tree as JSON, the same for every Python minor: without docstrings, positions and empty fields."""
    if isinstance(node, ast.Constant):
        return [type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        fields = {}
        for field, value in ast.iter_fields(node):
            if field == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
            if field not in ("ctx", "type_comment", "type_ignores") and value not in (None, []):
                fields[field] = _plain(value)
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node


def _imports(tree: ast.AST, module: str, is_package: bool) -> set[str]:
    top = PACKAGE.name
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names |= {".".join(base)} | {".".join([*base, alias.name]) for alias in node.names}
    modules = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != top:
            continue
        modules |= {".".join(parts[:end]) for end in range(1, len(parts) + 1) if _path(".".join(parts[:end]))}
    return modules


def _data_files(tree: ast.Module) -> tuple[str, ...]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "DATA_FILES" for t in node.targets):
            return tuple(ast.literal_eval(node.value))
    return ()
