"""The databases of the text-to-SQL suite: themes of two tables, columns drawn from them, and rows that the prompt hides."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

Rows = dict[str, list[list[Any]]]


class Column(NamedTuple):
    """`spoken` in questions. `values`: the words that occur, or the lowest and highest number."""

    name: str
    spoken: str
    values: tuple[Any, ...]

    @property
    def type(self) -> str:
        return {str: "TEXT", int: "INTEGER", float: "REAL"}[type(self.values[0])]


class Table(NamedTuple):
    """`one` and `many` are what its rows are called; every table has an id and a name besides its columns."""

    table: str
    one: str
    many: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]

    def words(self) -> list[Column]:
        return [each for each in self.columns if each.type == "TEXT"]

    def numbers(self) -> list[Column]:
        return [each for each in self.columns if each.type != "TEXT"]


class Database(NamedTuple):
    """Each row of `child` belongs to a row of `parent`, by its first column after those of its own: `key`. A database that
    is `alone` has no parents."""

    parent: Table
    child: Table
    alone: bool = False

    @property
    def key(self) -> str:
        return f"{self.parent.one}_id"

    def statements(self) -> list[str]:
        """CREATE TABLE of the parent and of the child."""
        parent, child = (
            ["id INTEGER PRIMARY KEY", "name TEXT", *(f"{each.name} {each.type}" for each in table.columns)]
            for table in (self.parent, self.child)
        )
        if self.alone:
            return [f"CREATE TABLE {self.child.table} ({', '.join(child)})"]
        return [
            f"CREATE TABLE {self.parent.table} ({', '.join(parent)})",
            f"CREATE TABLE {self.child.table} ({', '.join([*child, f'{self.key} INTEGER'])})",
        ]


NAMES = (
    *("Arden", "Brill", "Coombe", "Dunmore", "Esk", "Forth", "Garve", "Hexham", "Islay", "Jura", "Kelso", "Luss"),
    *("Moffat", "Nairn", "Orkney", "Paisley", "Quorn", "Rannoch", "Skye", "Tarbert", "Ulva", "Vale", "Wick", "Yell"),
)
THEMES = (
    Database(
        Table("coasts", "coast", "coasts", NAMES, (Column("sea", "sea", ("north", "inner", "outer")),)),
        Table(
            "lighthouses",
            "lighthouse",
            "lighthouses",
            NAMES,
            (
                Column("stripe", "stripe", ("scarlet", "ochre", "plain")),
                Column("lens", "lens", ("fixed", "rotating", "double")),
                Column("height_m", "height in metres", (8, 60)),
                Column("stairs", "number of stairs", (20, 300)),
                Column("range_km", "range in kilometres", (9.0, 45.0)),
            ),
        ),
    ),
    Database(
        Table("orchards", "orchard", "orchards", NAMES, (Column("soil", "soil", ("loam", "clay", "chalk")),)),
        Table(
            "pear_trees",
            "pear tree",
            "pear trees",
            NAMES,
            (
                Column("variety", "variety", ("conference", "comice", "warden")),
                Column("pruning", "pruning", ("espalier", "cordon", "standard")),
                Column("age", "age", (2, 90)),
                Column("yield_kg", "yield in kilograms", (3.0, 80.0)),
            ),
        ),
    ),
    Database(
        Table(
            "workshops", "workshop", "workshops", NAMES, (Column("guild", "guild", ("saddlers", "coopers", "turners")),)
        ),
        Table(
            "clocks",
            "clock",
            "clocks",
            NAMES,
            (
                Column("case_wood", "wood of the case", ("walnut", "beech", "yew")),
                Column("escapement", "escapement", ("verge", "anchor", "lever")),
                Column("made_in", "year of making", (1690, 1890)),
                Column("price", "price", (40.0, 990.0)),
            ),
        ),
    ),
    Database(
        Table("choirs", "choir", "choirs", NAMES, (Column("rite", "rite", ("sarum", "roman", "mozarabic")),)),
        Table(
            "singers",
            "singer",
            "singers",
            NAMES,
            (
                Column("voice", "voice", ("treble", "tenor", "bass")),
                Column("chapel", "chapel", ("cantorum", "palatine", "lateran")),
                Column("solos", "number of solos", (1, 70)),
                Column("fee", "fee", (10.0, 300.0)),
            ),
        ),
    ),
    Database(
        Table("glaciers", "glacier", "glaciers", NAMES, (Column("aspect", "aspect", ("north", "east", "west")),)),
        Table(
            "huts",
            "hut",
            "huts",
            NAMES,
            (
                Column("roof", "roof", ("shingle", "turf", "zinc")),
                Column("warden", "warden", ("seasonal", "all year", "none")),
                Column("bunks", "number of bunks", (4, 120)),
                Column("altitude", "altitude", (1100, 3600)),
                Column("snow_m", "depth of snow in metres", (0.1, 9.0)),
            ),
        ),
    ),
    Database(
        Table("cellars", "cellar", "cellars", NAMES, (Column("vault", "vault", ("barrel", "groin", "fan")),)),
        Table(
            "casks",
            "cask",
            "casks",
            NAMES,
            (
                Column("hoops", "material of the hoops", ("withy", "copper", "hazel")),
                Column("wine", "wine", ("malmsey", "tokay", "claret")),
                Column("weeks", "number of weeks in the cellar", (2, 150)),
                Column("litres", "volume in litres", (20.0, 600.0)),
            ),
        ),
    ),
    Database(
        Table("archives", "archive", "archives", NAMES, (Column("keeper", "keeper", ("crown", "chapter", "burgh")),)),
        Table(
            "charts",
            "chart",
            "charts",
            NAMES,
            (
                Column("projection", "projection", ("conic", "polar", "plane")),
                Column("sheet", "sheet", ("vellum", "rag", "linen")),
                Column("folds", "number of folds", (1, 40)),
                Column("width_cm", "width in centimetres", (20.0, 190.0)),
            ),
        ),
    ),
    Database(
        Table("rivers", "river", "rivers", NAMES, (Column("bed", "bed", ("gravel", "silt", "rock")),)),
        Table(
            "weirs",
            "weir",
            "weirs",
            NAMES,
            (
                Column("timber", "timber", ("elm", "larch", "alder")),
                Column("purpose", "purpose", ("milling", "fishing", "navigation")),
                Column("gates", "number of gates", (1, 60)),
                Column("drop_m", "drop in metres", (0.3, 12.0)),
            ),
        ),
    ),
)
PARENTS, FEWEST, MOST = 5, 9, 13


def draw_database(number: int, rng: random.Random) -> Database:
    """The database of this number: the themes in turn, with some of their columns; half of them alone."""
    theme = THEMES[number % len(THEMES)]
    words = rng.sample(theme.child.words(), rng.randint(1, 2))
    numbers = rng.sample(theme.child.numbers(), rng.randint(1, 2))
    return Database(theme.parent, theme.child._replace(columns=(*words, *numbers)), alone=rng.random() < 0.5)


def fill(database: Database, rng: random.Random) -> Rows:
    """Rows of the tables. No number occurs twice in a column, so that every order is one; one parent has no child."""
    count = rng.randint(FEWEST, MOST)
    parents = _rows(database.parent, database.parent.names[:PARENTS], rng)
    children = _rows(database.child, rng.sample(database.child.names[PARENTS:], count), rng)
    if database.alone:
        return {database.child.table: children}
    used = rng.sample(range(1, PARENTS + 1), PARENTS - 1)
    keys = [*used, *(rng.choice(used) for _ in range(count - len(used)))]
    return {
        database.parent.table: parents,
        database.child.table: [[*row, key] for row, key in zip(children, keys, strict=True)],
    }


def _rows(table: Table, names: Sequence[str], rng: random.Random) -> list[list[Any]]:
    columns = [_cells(each, len(names), rng) for each in table.columns]
    return [[place + 1, name, *(cells[place] for cells in columns)] for place, name in enumerate(names)]


def _cells(column: Column, count: int, rng: random.Random) -> list[Any]:
    low, high = column.values[0], column.values[-1]
    match column.type:
        case "TEXT":
            return [rng.choice(column.values) for _ in range(count)]
        case "INTEGER":
            return rng.sample(range(low, high + 1), count)
        case _:
            return [tenths / 10 for tenths in rng.sample(range(round(low * 10), round(high * 10) + 1), count)]
