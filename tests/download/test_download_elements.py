"""Text-to-SQL: every question has a query that answers, on exactly the schema that its document shows."""

import sqlite3
import zipfile

import pytest

from trellis.download.archive import Archive
from trellis.download.readers import elements_sql
from trellis.download.readers.elements_questions import COLUMNS


@pytest.fixture
def read(tmp_path):
    """read(database bytes) gives (the documents, the rejections)."""

    def run(content):
        with zipfile.ZipFile(tmp_path / "w.whl", "w") as file:
            file.writestr("e.db", content)
        with Archive(tmp_path / "w.whl", ["e.db"]) as opened:
            return list(elements_sql.read(opened)), dict(opened.rejected)

    return run


@pytest.fixture
def database(tmp_path) -> bytes:
    """The tables and columns that the templates need, with four elements."""
    path = tmp_path / "made.db"
    with sqlite3.connect(path) as made:
        numbers = ", ".join(f"{column} FLOAT" for column in COLUMNS)
        made.executescript(
            f"CREATE TABLE elements (atomic_number INTEGER, name VARCHAR, symbol VARCHAR, period INTEGER, block VARCHAR, "
            f"series_id INTEGER, unused VARCHAR, {numbers});"
            "CREATE TABLE series (id INTEGER, name VARCHAR);"
            "CREATE TABLE isotopes (id INTEGER, atomic_number INTEGER, mass_number INTEGER, abundance FLOAT, "
            "is_radioactive BOOLEAN);"
            "CREATE TABLE isotopedecaymodes (id INTEGER, isotope_id INTEGER, mode VARCHAR);"
            "CREATE TABLE ionizationenergies (id INTEGER, atomic_number INTEGER, ion_charge INTEGER, "
            "ionization_energy FLOAT);"
            "CREATE TABLE oxidationstates (id INTEGER, atomic_number INTEGER, oxidation_state INTEGER, category VARCHAR);"
            "CREATE TABLE ionicradii (id INTEGER, atomic_number INTEGER, charge INTEGER, coordination VARCHAR, "
            "ionic_radius FLOAT);"
            "CREATE TABLE phasetransitions (id INTEGER, atomic_number INTEGER, melting_point FLOAT, boiling_point FLOAT);"
            "INSERT INTO series VALUES (1, 'Metals'), (2, 'Gases');"
            "INSERT INTO isotopes VALUES (1, 1, 1, 99.0, 0);"
        )
        for number, (name, block) in enumerate([("Ane", "s"), ("Bene", "p"), ("Cene", "d"), ("Dene", "s")], start=1):
            values = [number, name, name[:2], 1, block, 1 + number % 2, None, *(number * 1.5 for _ in COLUMNS)]
            made.execute(f"INSERT INTO elements VALUES ({', '.join('?' * len(values))})", values)
        made.execute("UPDATE elements SET density = NULL")
    made.close()
    return path.read_bytes()


def test_every_query_of_elements_sql_answers_on_the_schema_it_shows(read, database, tmp_path):
    documents, rejected = read(database)
    again, _ = read(database)
    assert documents == again and len({raw.native_id for raw in documents}) == len(documents) > 100
    assert rejected["no_rows"] > 5  # three elements have no isotope, none has an oxidation state or a density
    whole = sqlite3.connect(":memory:")
    whole.deserialize(database)
    for raw in documents:
        schema, question, query = raw.text.split("\n\n")
        assert question.startswith("-- Question: ")
        first = whole.execute(query).fetchone()
        assert any(value is not None for value in first)
        shown = sqlite3.connect(":memory:")
        shown.executescript(schema)
        shown.execute(query)  # raises where the schema lacks a column or a table that the query uses


def test_elements_sql_on_something_else_is_counted(read, tmp_path):
    assert read(b"no database " * 100) == ([], {"corrupt": 1})
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE elements (name VARCHAR)")
    other.close()
    assert read((tmp_path / "other.db").read_bytes()) == ([], {"corrupt": 1})
