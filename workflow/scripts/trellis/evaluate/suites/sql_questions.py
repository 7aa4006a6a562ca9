"""The questions of the text-to-SQL suite, each with its query and with queries that a careless reader would write.

The careless ones must give other rows over some filling, or the fillings are drawn again: so an answer that is right over
all fillings has read the question.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from trellis.evaluate.suites.sql_databases import Column, Database, Rows


class Question(NamedTuple):
    """What is asked, the query, careless queries, and whether the order of the rows counts."""

    text: str
    query: str
    careless: list[str]
    ordered: bool = False


class Draw(NamedTuple):
    """What a question is drawn from: a database, a filling of it, and a random stream."""

    database: Database
    rows: Rows
    rng: random.Random

    def word(self, of: str = "child") -> tuple[Column, str]:
        """A column of words and one of its values, as SQL."""
        column = self.rng.choice(getattr(self.database, of).words())
        return column, f"'{self.rng.choice(column.values)}'"

    def number(self) -> Column:
        return self.rng.choice(self.database.child.numbers())

    def bounds(self, column: Column) -> list[Any]:
        """Two numbers that the column holds, neither the lowest nor the highest, in order."""
        place = 2 + self.database.child.columns.index(column)
        values = sorted(row[place] for row in self.rows[self.database.child.table])
        return sorted(self.rng.sample(values[1:-1], 2))


def ask(stratum: str, draw: Draw) -> Question:
    """A question of the stratum."""
    return draw.rng.choice(STRATA[stratum])(draw)


def _of_a_word(draw: Draw) -> Question:
    (column, value), child = draw.word(), draw.database.child
    select = f"SELECT name FROM {child.table}"
    return Question(
        f"Give the names of the {child.many} whose {column.spoken} is {value}.",
        f"{select} WHERE {column.name} = {value}",
        [select, f"{select} WHERE {column.name} <> {value}"],
    )


def _beyond(draw: Draw) -> Question:
    column, child = draw.number(), draw.database.child
    bound, (said, sign, other) = draw.bounds(column)[0], draw.rng.choice((("more", ">", "<"), ("less", "<", ">")))
    select = f"SELECT name, {column.name} FROM {child.table}"
    return Question(
        f"Give the names of the {child.many} whose {column.spoken} is {said} than {bound}, each with its {column.spoken}.",
        f"{select} WHERE {column.name} {sign} {bound}",
        [select, f"{select} WHERE {column.name} {sign}= {bound}", f"{select} WHERE {column.name} {other} {bound}"],
    )


def _between(draw: Draw) -> Question:
    column, child = draw.number(), draw.database.child
    (low, high), select = draw.bounds(column), f"SELECT name FROM {child.table}"
    return Question(
        f"Give the names of the {child.many} whose {column.spoken} is from {low} to {high}, both included.",
        f"{select} WHERE {column.name} BETWEEN {low} AND {high}",
        [select, f"{select} WHERE {column.name} > {low} AND {column.name} < {high}"],
    )


def _both(draw: Draw) -> Question:
    (word, value), column, child = draw.word(), draw.number(), draw.database.child
    bound, select = draw.bounds(column)[1], f"SELECT name FROM {child.table}"
    one, other = f"{word.name} = {value}", f"{column.name} < {bound}"
    return Question(
        f"Give the names of the {child.many} whose {word.spoken} is {value} and whose {column.spoken} is less than {bound}.",
        f"{select} WHERE {one} AND {other}",
        [f"{select} WHERE {each}" for each in (one, other, f"{one} OR {other}")],
    )


def _count(draw: Draw) -> Question:
    (column, value), child = draw.word(), draw.database.child
    select = f"SELECT COUNT(*) FROM {child.table}"
    return Question(
        f"How many {child.many} have a {column.spoken} that is {value}?",
        f"{select} WHERE {column.name} = {value}",
        [select, f"{select} WHERE {column.name} <> {value}"],
    )


def _summary(draw: Draw) -> Question:
    (word, value), column, child = draw.word(), draw.number(), draw.database.child
    said, function = draw.rng.choice(list(FUNCTIONS.items()))
    rest = f"FROM {child.table}"
    where = f"{rest} WHERE {word.name} = {value}"
    others = [f"SELECT {each}({column.name}) {where}" for each in FUNCTIONS.values() if each != function]
    return Question(
        f"What is the {said} {column.spoken} of the {child.many} whose {word.spoken} is {value}?",
        f"SELECT {function}({column.name}) {where}",
        [f"SELECT {function}({column.name}) {rest}", *others],
    )


def _kinds(draw: Draw) -> Question:
    (column, _), child, number = draw.word(), draw.database.child, draw.number()
    bound = draw.bounds(number)[1]
    rest = f"FROM {child.table}"
    where = f"{rest} WHERE {number.name} > {bound}"
    return Question(
        f"Over the {child.many} whose {number.spoken} is more than {bound}, how many different values of {column.spoken} "
        "are there?",
        f"SELECT COUNT(DISTINCT {column.name}) {where}",
        [f"SELECT COUNT({column.name}) {where}", f"SELECT COUNT(DISTINCT {column.name}) {rest}"],
    )


def _sorted(draw: Draw) -> Question:
    column, child = draw.number(), draw.database.child
    (said, way, other), select = draw.rng.choice(ORDERS), f"SELECT name FROM {draw.database.child.table}"
    return Question(
        f"Give the names of all {child.many}, those with the {said} {column.spoken} first.",
        f"{select} ORDER BY {column.name}{way}",
        [select, f"{select} ORDER BY {column.name}{other}", f"{select} ORDER BY name"],
        ordered=True,
    )


def _first(draw: Draw) -> Question:
    column, child, count = draw.number(), draw.database.child, draw.rng.randint(2, 4)
    (said, way, other), select = draw.rng.choice(ORDERS), f"SELECT name FROM {draw.database.child.table}"
    return Question(
        f"Give the names of the {count} {child.many} with the {said} {column.spoken}, the {said} first.",
        f"{select} ORDER BY {column.name}{way} LIMIT {count}",
        [f"{select} ORDER BY {column.name}{other} LIMIT {count}", f"{select} LIMIT {count}"],
        ordered=True,
    )


def _second(draw: Draw) -> Question:
    (word, value), column, child = draw.word(), draw.number(), draw.database.child
    (said, way, _), select = draw.rng.choice(ORDERS), f"SELECT name FROM {draw.database.child.table}"
    where, order = f"WHERE {word.name} = {value}", f"ORDER BY {column.name}{way} LIMIT 1"
    return Question(
        f"Of the {child.many} whose {word.spoken} is {value}, which has the second {said} {column.spoken}? Give its name.",
        f"{select} {where} {order} OFFSET 1",
        [f"{select} {where} {order}", f"{select} {order} OFFSET 1"],
        ordered=True,
    )


def _count_each(draw: Draw) -> Question:
    (column, _), child = draw.word(), draw.database.child
    return Question(
        f"For each {column.spoken} give the {column.spoken} and how many {child.many} have it.",
        f"SELECT {column.name}, COUNT(*) FROM {child.table} GROUP BY {column.name}",
        [f"SELECT {column.name} FROM {child.table} GROUP BY {column.name}", f"SELECT COUNT(*) FROM {child.table}"],
    )


def _summary_each(draw: Draw) -> Question:
    (word, _), column, child = draw.word(), draw.number(), draw.database.child
    said, function = draw.rng.choice(list(FUNCTIONS.items()))
    rest = f"FROM {child.table} GROUP BY {word.name}"
    others = [f"SELECT {word.name}, {each}({column.name}) {rest}" for each in FUNCTIONS.values() if each != function]
    return Question(
        f"For each {word.spoken} give the {word.spoken} and the {said} {column.spoken} of its {child.many}.",
        f"SELECT {word.name}, {function}({column.name}) {rest}",
        [f"SELECT {function}({column.name}) FROM {child.table}", *others],
    )


def _frequent(draw: Draw) -> Question:
    (column, _), child, count = draw.word(), draw.database.child, draw.rng.randint(2, 5)
    select = f"SELECT {column.name} FROM {child.table} GROUP BY {column.name}"
    return Question(
        f"Which values of {column.spoken} do more than {count} {child.many} have?",
        f"{select} HAVING COUNT(*) > {count}",
        [select, f"{select} HAVING COUNT(*) >= {count}", f"{select} HAVING COUNT(*) < {count}"],
    )


def _with_parent(draw: Draw) -> Question:
    (column, value), base = draw.word(), draw.database
    child, parent, on = base.child, base.parent, _on(base)
    select = f"SELECT {child.table}.name, {parent.table}.name FROM {child.table}"
    return Question(
        f"Give the name of each {child.one} whose {column.spoken} is {value}, with the name of its {parent.one}.",
        f"{select} {on} WHERE {child.table}.{column.name} = {value}",
        [f"{select} {on}", f"{select}, {parent.table} WHERE {child.table}.{column.name} = {value}"],
    )


def _of_parents(draw: Draw) -> Question:
    (column, value), base = draw.word("parent"), draw.database
    child, parent = base.child, base.parent
    select = f"SELECT {child.table}.name FROM {child.table}"
    return Question(
        f"Give the names of the {child.many} whose {parent.one} has a {column.spoken} that is {value}.",
        f"{select} {_on(base)} WHERE {parent.table}.{column.name} = {value}",
        [select, f"{select}, {parent.table} WHERE {parent.table}.{column.name} = {value}"],
    )


def _count_of_parents(draw: Draw) -> Question:
    base = draw.database
    child, parent = base.child, base.parent
    select = f"SELECT {parent.table}.name, COUNT({child.table}.id) FROM {parent.table}"
    group = f"GROUP BY {parent.table}.id"
    join = f"JOIN {child.table} ON {child.table}.{base.key} = {parent.table}.id"
    return Question(
        f"For every {parent.one} give its name and the number of its {child.many}, 0 where it has none.",
        f"{select} LEFT JOIN {child.table} ON {child.table}.{base.key} = {parent.table}.id {group}",
        [f"{select} {join} {group}", f"{select}, {child.table} {group}"],
    )


def _childless(draw: Draw) -> Question:
    base = draw.database
    child, parent = base.child, base.parent
    select = f"SELECT name FROM {parent.table}"
    return Question(
        f"Give the names of the {parent.many} that have no {child.many}.",
        f"{select} WHERE id NOT IN (SELECT {base.key} FROM {child.table})",
        [select, f"{select} WHERE id IN (SELECT {base.key} FROM {child.table})"],
    )


def _total_of_parent(draw: Draw) -> Question:
    base, column = draw.database, draw.number()
    child, parent, name = base.child, base.parent, draw.rng.choice(draw.rows[draw.database.parent.table])[1]
    select = f"SELECT SUM({child.table}.{column.name}) FROM {child.table}"
    return Question(
        f"What is the total {column.spoken} of the {child.many} of the {parent.one} named '{name}'?",
        f"{select} {_on(base)} WHERE {parent.table}.name = '{name}'",
        [select, f"{select}, {parent.table} WHERE {parent.table}.name = '{name}'"],
    )


def _on(base: Database) -> str:
    return f"JOIN {base.parent.table} ON {base.child.table}.{base.key} = {base.parent.table}.id"


FUNCTIONS = {"highest": "MAX", "lowest": "MIN", "average": "AVG", "total": "SUM"}
# What is asked for first, its way in SQL, and the other way.
ORDERS = (("highest", " DESC", ""), ("lowest", "", " DESC"))
STRATA: dict[str, tuple[Callable[[Draw], Question], ...]] = {
    "filter": (_of_a_word, _beyond, _between, _both),
    "aggregate": (_count, _summary, _kinds),
    "order": (_sorted, _first, _second),
    "group": (_count_each, _summary_each, _frequent),
    "join": (_with_parent, _of_parents, _count_of_parents, _childless, _total_of_parent),
}
