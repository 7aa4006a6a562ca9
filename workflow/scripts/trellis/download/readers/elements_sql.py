"""Text-to-SQL over the periodic table: a schema, a question and its query, each query proven by running it.

The questions come from templates (`elements_questions`); the database, its schema and the values in the questions are
real. A query is kept only if SQLite answers it with at least one row that is not all NULL; others are `no_rows`.
"""

import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import xxhash

from trellis.download.archive import Archive, Raw
from trellis.download.readers.elements_questions import Question, questions

DISTRACTORS = 4  # columns of each table that the schema shows though the query has no use for them, as real schemas do


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        content = archive.read(member)
        if content is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.db"
            copy.write_bytes(content)
            with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as database:
                try:
                    yield from _pairs(archive, member, database)
                except sqlite3.DatabaseError:  # no database, or one with other tables
                    archive.reject("corrupt")


def _pairs(archive: Archive, member: str, database: sqlite3.Connection) -> Iterator[Raw]:
    tables = _tables(database)
    for question in questions(database):
        first = database.execute(question.sql).fetchone()
        if first is None or all(value is None for value in first):
            archive.reject("no_rows")
            continue
        text = f"{_schema(question, tables)}\n\n-- Question: {question.text}\n\n{question.sql};"
        yield Raw(f"{member}:{question.text}", text, {"template": question.template})


def _tables(database: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Column types by table and column, in the schema's order."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {
        table: {column: kind for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")')}
        for table in names
    }


def _schema(question: Question, tables: dict[str, dict[str, str]]) -> str:
    """CREATE TABLE for every table in the query: the columns it uses, and some, picked by hash, that it does not."""
    words = set(re.findall(r"\w+", question.sql))
    blocks = []
    for table, columns in tables.items():
        if table in words:
            others = sorted(columns.keys() - words, key=lambda column: _draw(question, column))
            shown = [column for column in columns if column in words or column in others[:DISTRACTORS]]
            lines = ",\n".join(f"  {column} {columns[column]}" for column in shown)
            blocks.append(f"CREATE TABLE {table} (\n{lines}\n);")
    return "\n".join(blocks)


def _draw(question: Question, column: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{question.text}{column}".encode())
