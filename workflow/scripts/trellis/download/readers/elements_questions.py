"""Questions about the periodic table with the SQL that answers them, from templates over mendeleev's `elements.db`.

Every template walks its own grid of elements, columns and values in a fixed order, so the list is the same every time.
"""

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

COLUMNS = {
    "density": "density in g/cm^3",
    "atomic_weight": "relative atomic weight",
    "atomic_radius": "atomic radius in pm",
    "covalent_radius_pyykko": "single-bond covalent radius in pm",
    "vdw_radius": "van der Waals radius in pm",
    "metallic_radius": "metallic radius in pm",
    "electron_affinity": "electron affinity in eV",
    "en_pauling": "electronegativity on the Pauling scale",
    "en_allen": "electronegativity on the Allen scale",
    "dipole_polarizability": "dipole polarizability in bohr^3",
    "evaporation_heat": "heat of evaporation in kJ/mol",
    "fusion_heat": "heat of fusion in kJ/mol",
    "heat_of_formation": "heat of formation in kJ/mol",
    "molar_heat_capacity": "molar heat capacity in J/mol/K",
    "specific_heat_capacity": "specific heat capacity in J/g/K",
    "thermal_conductivity": "thermal conductivity in W/m/K",
    "lattice_constant": "lattice constant in angstrom",
    "proton_affinity": "proton affinity in kJ/mol",
    "abundance_crust": "abundance in the Earth's crust in mg/kg",
    "abundance_sea": "abundance in the sea in mg/L",
    "price_per_kg": "price per kilogram in US dollars",
    "discovery_year": "year of discovery",
}
ORDINALS = ("first", "second", "third", "fourth", "fifth")
OF_ELEMENT = "JOIN elements e ON e.atomic_number = {}.atomic_number WHERE e.name = '{}'"


class Question(NamedTuple):
    template: str
    text: str
    sql: str


def questions(database: sqlite3.Connection) -> Iterator[Question]:
    """Raises sqlite3.DatabaseError when the database is not the one that the templates are for."""
    for index, (column, phrase) in enumerate(COLUMNS.items()):
        known = _all(database, f"SELECT name FROM elements WHERE {column} IS NOT NULL ORDER BY atomic_number")
        yield from _of_one_element(column, phrase, known[index % 11 :: 11])
        yield from _between_two(column, phrase, known[index % 13 :: 13], known[(index + 5) % 13 :: 13])
        yield from _over_all(column, phrase, 3 + index % 8)
        yield from _thresholds(column, phrase, _all(database, f"SELECT {column} FROM elements ORDER BY {column}"))
    for index, name in enumerate(_all(database, "SELECT name FROM elements ORDER BY atomic_number")):
        yield from _isotopes(name)
        yield from _ions(name, index % len(ORDINALS))
    for series in _all(database, "SELECT name FROM series ORDER BY id"):
        yield Question(
            "series",
            f"List the names and symbols of all {series.lower()}, by atomic number.",
            "SELECT e.name, e.symbol FROM elements e JOIN series s ON s.id = e.series_id "
            f"WHERE s.name = '{series}' ORDER BY e.atomic_number",
        )


def _all(database: sqlite3.Connection, query: str) -> list:
    """The one column that a query gives, without its NULLs."""
    return [value for (value,) in database.execute(query) if value is not None]


def _of_one_element(column: str, phrase: str, names: list[str]) -> Iterator[Question]:
    for name in names:
        yield Question(
            "lookup", f"What is the {phrase} of {name.lower()}?", f"SELECT {column} FROM elements WHERE name = '{name}'"
        )


def _between_two(column: str, phrase: str, left: list[str], right: list[str]) -> Iterator[Question]:
    for one, other in zip(left, right, strict=False):
        yield Question(
            "comparison",
            f"Which has the higher {phrase}: {one.lower()} or {other.lower()}?",
            f"SELECT name FROM elements WHERE name IN ('{one}', '{other}') ORDER BY {column} DESC LIMIT 1",
        )


def _over_all(column: str, phrase: str, count: int) -> Iterator[Question]:
    for word, order in (("highest", "DESC"), ("lowest", "ASC")):
        yield Question(
            "extremes",
            f"Which {count} elements have the {word} {phrase}?",
            f"SELECT name, {column} FROM elements WHERE {column} IS NOT NULL ORDER BY {column} {order} LIMIT {count}",
        )
    yield Question(
        "above_average",
        f"How many elements exceed the average {phrase}?",
        f"SELECT COUNT(*) FROM elements WHERE {column} > (SELECT AVG({column}) FROM elements)",
    )
    yield Question(
        "by_period",
        f"For each period, give the average {phrase} of its elements.",
        f"SELECT period, AVG({column}) FROM elements WHERE {column} IS NOT NULL GROUP BY period ORDER BY period",
    )
    yield Question(
        "by_block",
        f"In each block of the periodic table, what is the largest {phrase}?",
        f"SELECT block, MAX({column}) AS largest FROM elements GROUP BY block ORDER BY largest DESC",
    )
    yield Question(
        "by_series",
        f"Rank the series of elements by their mean {phrase}, leaving out series with fewer than {count} values.",
        f"SELECT s.name, AVG(e.{column}) AS mean FROM elements e JOIN series s ON s.id = e.series_id "
        f"GROUP BY s.name HAVING COUNT(e.{column}) >= {count} ORDER BY mean DESC",
    )


def _thresholds(column: str, phrase: str, values: list) -> Iterator[Question]:
    for block, quarter in (("s", 1), ("p", 2), ("d", 3)) if values else ():
        value = f"{values[len(values) * quarter // 4]:.4g}"
        yield Question(
            "threshold",
            f"List the {block}-block elements whose {phrase} is at least {value}.",
            f"SELECT name FROM elements WHERE block = '{block}' AND {column} >= {value} ORDER BY {column}",
        )


def _isotopes(name: str) -> Iterator[Question]:
    element = name.lower()
    yield Question(
        "isotopes",
        f"How many isotopes of {element} are radioactive?",
        f"SELECT COUNT(*) FROM isotopes i {OF_ELEMENT.format('i', name)} AND i.is_radioactive = 1",
    )
    yield Question(
        "isotopes",
        f"What are the mass number and natural abundance of the most abundant isotope of {element}?",
        f"SELECT i.mass_number, i.abundance FROM isotopes i {OF_ELEMENT.format('i', name)} "
        "AND i.abundance IS NOT NULL ORDER BY i.abundance DESC LIMIT 1",
    )
    yield Question(
        "decay_modes",
        f"Count the decay modes of the isotopes of {element}, the most frequent first.",
        "SELECT d.mode, COUNT(*) AS n FROM isotopedecaymodes d JOIN isotopes i ON i.id = d.isotope_id "
        f"{OF_ELEMENT.format('i', name)} GROUP BY d.mode ORDER BY n DESC, d.mode",
    )


def _ions(name: str, charge: int) -> Iterator[Question]:
    element = name.lower()
    yield Question(
        "ionization",
        f"What is the {ORDINALS[charge]} ionization energy of {element} in eV?",
        f"SELECT x.ionization_energy FROM ionizationenergies x {OF_ELEMENT.format('x', name)} "
        f"AND x.ion_charge = {charge}",
    )
    yield Question(
        "oxidation",
        f"Which main oxidation states does {element} have?",
        f"SELECT o.oxidation_state FROM oxidationstates o {OF_ELEMENT.format('o', name)} "
        "AND o.category = 'main' ORDER BY o.oxidation_state",
    )
    yield Question(
        "ionic_radius",
        f"What is the smallest ionic radius of {element}, and at which charge and coordination?",
        f"SELECT r.ionic_radius, r.charge, r.coordination FROM ionicradii r {OF_ELEMENT.format('r', name)} "
        "ORDER BY r.ionic_radius LIMIT 1",
    )
    yield Question(
        "phases",
        f"At which temperatures in kelvin does {element} melt and boil?",
        f"SELECT p.melting_point, p.boiling_point FROM phasetransitions p {OF_ELEMENT.format('p', name)}",
    )
