"""The text-to-SQL suite: the gold is right by a sqlite that is not ours, and what a careless reader writes is wrong."""

import re
import sqlite3
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from trellis.errors import TrellisError
from trellis.evaluate.sandbox import Sandbox, same_rows
from trellis.evaluate.scorers.text_to_sql import score
from trellis.evaluate.suites import text_to_sql
from trellis.evaluate.suites.sql_databases import NAMES, THEMES, draw_database, fill
from trellis.evaluate.suites.sql_questions import STRATA, Draw
from trellis.experiment.evaluation import TextToSqlSuite
from trellis.schema_tasks import seeded
from trellis.schema_tasks.values import FOREIGN, VOCABULARY


def made(items=60, **settings):
    suite = TextToSqlSuite(kind="text_to_sql", items=items, **settings)
    return text_to_sql.build(suite, "text-to-sql", SimpleNamespace(config={"shots": 2}))


@pytest.fixture(scope="module")
def items():
    return list(made().items)


def connect(tables, filling):
    connection = sqlite3.connect(":memory:")
    for statement in tables:
        connection.execute(statement)
    for table, rows in filling.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
    return connection


def test_the_gold_gives_the_stored_rows_by_plain_sqlite(items):
    for item in items:
        check = item["check"]
        for filling, rows in zip(check["fillings"], check["results"], strict=True):
            found = connect(check["tables"], filling).execute(item["gold"]).fetchall()
            assert same_rows([list(row) for row in found], rows, ordered=True) and rows


def test_a_copier_of_the_gold_gets_everything(items):
    for item in items:
        assert score(item, item["answer"]) == {"parse": 1, "parse_lenient": 1, "execution": 1}
        for other in (f"{item['answer']} ;\n", item["answer"].replace("SELECT", "select"), f"{item['answer']} -- so"):
            assert score(item, other)["execution"] == 1
        fenced = score(item, f"```sql\n{item['answer']}\n```")
        assert fenced == {"parse": 0, "parse_lenient": 1, "execution": 0}


@pytest.mark.parametrize("output", ["", "{}", "SELECT 1", "SELECT NULL", "VALUES ('Skye')", "select", "I do not know."])
def test_a_constant_answers_no_item(items, output):
    assert not any(score(item, output)["execution"] for item in items)


def test_the_rows_of_one_filling_as_a_constant_are_wrong(items):
    """What a model that knew the rows could write without reading the question."""
    for item in items[:60]:
        for rows in item["check"]["results"]:
            values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
            assert score(item, f"SELECT * FROM (VALUES {values})") == {"parse": 1, "parse_lenient": 1, "execution": 0}


def literal(cell):
    return f"'{cell}'" if isinstance(cell, str) else str(cell)


def test_careless_queries_are_wrong():
    rng, seen = seeded("test"), Counter()
    sandbox = Sandbox()
    for number in range(16):
        for stratum in STRATA:
            database = draw_database(number, rng)._replace(alone=False)
            question, check = text_to_sql.make_task(stratum, database, rng, sandbox)
            item = {"check": check}
            assert score(item, question.query)["execution"] == 1
            for query in question.careless:
                assert score(item, query) == {"parse": 1, "parse_lenient": 1, "execution": 0}, query
                seen[stratum] += 1
    sandbox.close()
    assert len(seen) == 5 and min(seen.values()) >= 32


def test_every_question_is_asked_and_says_its_values(items):
    """Every quoted word and every number of a query stands in its question, but for those that the grammar asks for."""
    for item in items:
        asked = item["messages"][0]["content"]
        for literal in re.findall(r"'[^']*'|\b\d+(?:\.\d+)?\b", item["gold"]):
            assert literal in asked or re.search(rf"(LIMIT|OFFSET) {literal}\b", item["gold"])
    rng, kinds = seeded("kinds"), set()
    for number in range(200):
        database = draw_database(number, rng)._replace(alone=False)
        for stratum, questions in STRATA.items():
            for place, make in enumerate(questions):
                question = make(Draw(database, fill(database, rng), rng))
                kinds.add((stratum, place, question.ordered))
                assert ("ORDER BY" in question.query) == question.ordered
    assert len(kinds) == sum(map(len, STRATA.values())) == 18


def test_other_ways_to_write_a_query_are_right(items):
    """A synonym in SQL for each stratum, by rewriting the gold."""
    rewrites = {
        "filter": lambda sql: sql.replace(" WHERE ", " AS x WHERE NOT NOT (") + ")",
        "aggregate": lambda sql: f"WITH w AS ({sql}) SELECT * FROM w",
        "order": lambda sql: f"SELECT * FROM ({sql})",
        "group": lambda sql: f"{sql} ORDER BY 1 DESC",
        "join": lambda sql: f"SELECT DISTINCT * FROM ({sql}) ORDER BY 1",
    }
    for item in items:
        assert score(item, rewrites[item["stratum"]](item["gold"]))["execution"] == 1


def test_order_counts_where_it_was_asked_for_and_columns_always(items):
    for item in items:
        two = max(len(rows) for rows in item["check"]["results"]) > 1
        turned = f"WITH w AS ({item['gold']}), n AS (SELECT *, ROW_NUMBER() OVER () AS i FROM w) "
        turned += f"SELECT {', '.join(columns(item))} FROM n ORDER BY i DESC"
        assert score(item, turned)["execution"] == (not (two and item["check"]["ordered"]))
        more = f"SELECT *, 1 FROM ({item['gold']})"
        assert score(item, more)["parse"] == 1 and score(item, more)["execution"] == 0


def columns(item):
    names = [description[0] for description in connect(item["check"]["tables"], {}).execute(item["gold"]).description]
    unique = [name if names.index(name) == place else f"{name}:{place}" for place, name in enumerate(names)]
    return [f'"{name}"' for name in unique]


def test_the_prompt_shows_the_tables_and_no_row(items):
    for item in items:
        content = item["messages"][0]["content"]
        *tables, question = content.split("\n")
        assert tables == [f"{statement};" for statement in item["check"]["tables"]]
        shown = {name for name in NAMES if re.search(rf"\b{name}\b", question)}
        assert shown <= set(re.findall(r"'(\w+)'", item["gold"]))
        assert item["schema"] is None and item["split"] == "unseen" and item["gold"] == item["answer"]


def test_strata_and_clusters(items):
    assert Counter(item["stratum"] for item in items) == dict.fromkeys(STRATA, len(items) // 5)
    assert set(Counter(item["cluster"] for item in items).values()) == {5}
    # Half of the databases are one table where nothing is joined, and never where something is.
    alone = Counter((item["stratum"] == "join", len(item["check"]["tables"])) for item in items)
    assert not alone[True, 1] and min(alone[False, 1], alone[False, 2]) > len(items) / 5


def test_rows_leave_no_order_in_doubt():
    rng = seeded("rows")
    for number in range(40):
        database = draw_database(number, rng)._replace(alone=False)
        rows = fill(database, rng)
        for table in (database.parent, database.child):
            assert len({row[1] for row in rows[table.table]}) == len(rows[table.table])
            for place, column in enumerate(table.columns, start=2):
                values = [row[place] for row in rows[table.table]]
                assert column.type == "TEXT" or len(set(values)) == len(values)
        used = {row[-1] for row in rows[database.child.table]}
        assert len(used) == len(rows[database.parent.table]) - 1


def test_nothing_of_fine_tunings_templates_is_in_it():
    own = {name.lower() for name in NAMES}
    for theme in THEMES:
        for table in (theme.parent, theme.child):
            own |= {table.table, *table.one.split(), *table.many.split()}
            for column in table.columns:
                own |= {*column.name.split("_"), *(word for value in column.values for word in str(value).split())}
    assert not own & {word.lower() for word in (*VOCABULARY["training"], *FOREIGN["training"])}


def test_a_grown_suite_keeps_its_items_and_another_seed_has_others():
    small, large = list(made(4).items), list(made(7).items)
    assert large[: len(small)] == small
    assert not {str(i["messages"]) for i in made(4, seed=7).items} & {str(i["messages"]) for i in small}


def test_shots_are_right_and_no_items(items):
    shots = made().shots
    assert len(shots) == 2
    for shot in shots:
        tables = [line.removesuffix(";") for line in shot["messages"][0]["content"].split("\n")[:-1]]
        assert len(tables) == 1 and connect(tables, {}).execute(shot["answer"])
    assert not {str(shot["messages"]) for shot in shots} & {str(item["messages"]) for item in items}


def test_rows_that_tell_nothing_stop_the_build(monkeypatch):
    monkeypatch.setattr(text_to_sql, "_tells", lambda *_: False)
    monkeypatch.setattr(text_to_sql, "ATTEMPTS", 2)
    with pytest.raises(TrellisError, match="no rows tell right from wrong for a filter question"):
        next(iter(made(1).items))


@pytest.mark.parametrize(
    "output",
    [
        "DROP TABLE x",
        "SELECT 1" + " " * 2**20,
        "SELECT " * 150_000,
        "\ud800",
        "\x00",
        "```sql\n" + "SELECT " * 150_000 + "```",
    ],
    ids=range(6),
)
def test_hostile_output_is_a_failure_in_bounded_time(items, output):
    start = time.monotonic()
    assert score(items[0], output) == {"parse": 0, "parse_lenient": 0, "execution": 0}
    assert time.monotonic() - start < 2
