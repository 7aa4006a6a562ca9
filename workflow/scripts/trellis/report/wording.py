"""How numbers and foreign text are written: the same way in every section, and never as markup."""

from trellis import visible as foreign

MINUS, UNKNOWN = "\N{MINUS SIGN}", "\N{EN DASH}"


def visible(value: object) -> object:
    """Foreign text with what would hide or reorder it spelled out; escaping is the template's. Runs on whatever a template
    prints."""
    # What a macro has made is markup already, of text that came through here.
    if not isinstance(value, str) or hasattr(value, "__html__") or (value.isascii() and value.isprintable()):
        return value
    return foreign.visible(value)


def count(value: float | None) -> str:
    """1,234,567; a dash for what is not known."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share of 1 with one decimal: 12.3%."""
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


def points(share: float) -> str:
    """A difference of shares, in percentage points with its sign: +12.3."""
    written = f"{100 * share:+.1f}"
    return "0.0" if float(written) == 0 else written.replace("-", MINUS)


def decimal(value: float | None, digits: int = 3) -> str:
    """A plain number with a fixed number of decimals."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def short(value: float) -> str:
    """A large number in three digits: 300k, 2.1M, 20B, 6.06e19."""
    if abs(value) >= 1e15:
        return f"{value:.2e}".replace("e+", "e")
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """3.2 s, 4 min 05 s, 2 h 03 min, 6 d 01 h."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    for large, unit, small, rest in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if round(seconds) >= large:
            return f"{round(seconds) // large} {unit} {round(seconds) % large // small:02d} {rest}"
    raise AssertionError("unreachable: 60 s and more are minutes")


def plural(number: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def shortened(text: str, limit: int) -> str:
    """The beginning of a long text, with the number of characters that are left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"
