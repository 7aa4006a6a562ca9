"""Docstrings of a Python library, found in the syntax tree: its code is parsed, never imported or run."""

import ast
import warnings
from collections.abc import Iterator

from trellis.download.archive import Archive, Raw

MIN_CHARS = 400
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        code = archive.text(member)
        if code is None or not _may_hold(code):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # of the library's style, not ours
                tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            archive.reject("malformed")
            continue
        module = member.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for line, name, text in _docstrings(tree, module):
            yield Raw(f"{member}:{line}", f"{name}\n\n{text}", {"name": name})


def _may_hold(code: str) -> bool:
    """Whether a triple-quoted piece is long enough: seen in a moment, where parsing takes seconds for all."""
    return any(len(piece) >= MIN_CHARS for quotes in ('"""', "'''") for piece in code.split(quotes)[1:])


def _docstrings(tree: ast.Module, module: str) -> Iterator[tuple[int, str, str]]:
    """(line, dotted name, docstring) of the module and of every class and function in it, nested ones included."""
    waiting: list[tuple[ast.AST, str]] = [(tree, module)]
    while waiting:
        node, name = waiting.pop()
        text = ast.get_docstring(node)
        if text and len(text) >= MIN_CHARS:
            yield getattr(node, "lineno", 0), name, text
        waiting += [(inner, f"{name}.{inner.name}") for inner in _defined(node)]


def _defined(node: ast.AST) -> Iterator[ast.AST]:
    """The classes and functions defined right inside a node, also under its ifs, tries and withs."""
    waiting = list(getattr(node, "body", []))
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, DOCUMENTED):
            yield statement
        else:
            for block in ("body", "orelse", "handlers", "finalbody"):
                waiting += getattr(statement, block, [])
