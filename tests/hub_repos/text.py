"""Generated text for the local hub's repos: no two documents alike, each about a theme, all of it a function of a name."""

import json
import random
from html import escape


def _words(text: str) -> list[str]:
    return text.split()


THEMES = {
    "mathematics": _words(
        "theorem lemma polynomial integer matrix vector equation geometry calculus variance probability coefficient "
        "permutation triangle fraction logarithm derivative regression algebra proof"
    ),
    "software": _words(
        "algorithm database compiler server software kernel network programming binary command computer cloud code "
        "instance encryption debugger api linux configuration cache"
    ),
    "learning": _words(
        "classifier dataset embedding transformer inference robot chatbot backpropagation overfitting supervised "
        "benchmark gradient token epoch layer attention corpus sampler reward prompt"
    ),
    "physics": _words(
        "quantum molecule electron isotope particle planet orbit gravity velocity wavelength mineral oxide spectrum "
        "nucleus galaxy element crystal plasma photon pressure"
    ),
    "biology": _words(
        "species genus protein enzyme bacteria virus mammal insect habitat predator flower organism neuron gene fungi "
        "plankton larva membrane seed forest"
    ),
    "history": _words(
        "empire century dynasty battle medieval province coast capital colony village island revolution king treaty "
        "harbour border archive monument chronicle caravan"
    ),
    "business": _words(
        "market company revenue profit investor currency budget inflation customer trade stock price export bank tax "
        "salary warehouse contract merger invoice"
    ),
}
NOUNS = _words(
    "apple anchor basket bridge bottle candle canyon carpet castle cellar circle cottage curtain desert diamond drawer "
    "engine feather fountain garden glacier hammer helmet island jacket kettle ladder lantern letter magnet marble "
    "meadow mirror needle orchard oven paddle paper pebble pencil pillow pocket puzzle rabbit ribbon river saddle "
    "sandal shadow shelter silver spoon stable station stone sweater table teacher tower tunnel valley violin wagon "
    "wallet window winter workshop"
)
ADJECTIVES = _words(
    "amber ancient blue brief bright broad calm careful clever cold common curious deep distant early empty exact faint "
    "fresh gentle golden green heavy hidden hollow humble large late light linear local long narrow new old open orange "
    "patient plain quick quiet rapid rare red rough round sharp short silent simple slow small smooth solid steady "
    "still strange strong sudden thin tiny usual vast warm white wide wooden"
)
VERBS = _words(
    "answers bends borrows breaks builds carries catches changes collects colours counts covers crosses describes "
    "divides draws feeds fills finds follows gathers guards hides holds joins keeps leaves lifts limits marks measures "
    "meets moves needs opens orders paints passes pulls pushes raises reaches reads repeats replaces reveals rolls "
    "sells sends shapes shares shows sorts splits stores supports takes teaches touches tracks turns visits watches "
    "weighs writes"
)
PLACES = _words("Oslo Lima Cairo Delhi Paris Tokyo Quito Accra Milan Perth Dublin Havana Boston Denver Vienna Prague")
FIRST = _words("Anna Omar Lucia Kenji Maria Pavel Aisha Bruno Clara David Elena Felix Grace Hugo Irene Jonas Karin")
JOINS = {
    1: [", and", ", while", ";"],
    2: [", because", ", so that", ", whereas", ", since"],
    3: [", but if this fails,", ", therefore", ", unless", ", although", ", which implies that"],
}
OPENINGS = {
    1: ["", "", "", "In {place}, ", "In {year}, "],
    2: ["", "Compared with {place}, ", "As a result, ", "Then ", "For {number} days "],
    3: ["First, ", "Suppose that ", "Given {number} of them, ", "However, ", "Finally, ", "For all {number}, "],
}


def rng(*name: object) -> random.Random:
    """A generator of its own for everything that has a name."""
    return random.Random("/".join(map(str, name)))


def pick_theme(r: random.Random) -> str:
    return r.choice(sorted(THEMES))


def sentence(r: random.Random, theme: str, level: int = 1) -> str:
    def clause() -> str:
        subject, other = (r.choice(THEMES[theme] if r.random() < 0.45 else NOUNS) for _ in range(2))
        adjective = f"{r.choice(ADJECTIVES)} " if r.random() < 0.7 else ""
        number = f"{r.randint(2, 9999)} " if r.random() < 0.25 else ""
        tail = r.choice(["", f" of {r.choice(FIRST)}", f" near {r.choice(PLACES)}", f" in the {r.choice(NOUNS)}"])
        return f"the {adjective}{subject} {r.choice(VERBS)} the {number}{r.choice(ADJECTIVES)} {other}{tail}"

    opening = r.choice(OPENINGS[level]).format(
        place=r.choice(PLACES), year=r.randint(1700, 2025), number=r.randint(2, 500)
    )
    text = opening + clause() + (f"{r.choice(JOINS[level])} {clause()}" if r.random() < 0.6 else "")
    return text[0].upper() + text[1:] + "."


def title(r: random.Random, theme: str) -> str:
    return f"{r.choice(ADJECTIVES)} {r.choice(THEMES[theme])} of {r.choice(PLACES)} {r.randint(2, 999)}".capitalize()


def passage(r: random.Random, theme: str | None = None, chars: int = 1800, level: int | None = None) -> str:
    """Paragraphs of about so many characters (half as many to half as many again)."""
    theme, level = theme or pick_theme(r), level or r.randint(1, 3)
    enough, parts = r.uniform(0.5, 1.5) * chars, []
    while sum(map(len, parts)) < enough:
        parts.append(" ".join(sentence(r, theme, level) for _ in range(r.randint(2, 6))))
    return "\n\n".join(parts)


def identifier(r: random.Random) -> str:
    return f"{r.choice(VERBS)}_{r.choice(NOUNS)}"


def value(r: random.Random, depth: int = 2) -> object:
    """Any JSON value; objects and lists to a depth."""
    kind = r.randrange(6 if depth else 4)
    if kind == 4:
        return [value(r, 0) for _ in range(r.randint(1, 4))]
    if kind == 5:
        return {f"{r.choice(ADJECTIVES)}_{r.choice(NOUNS)}": value(r, depth - 1) for _ in range(r.randint(2, 5))}
    return [r.randint(-999, 9999), r.randint(1, 9999) / 100, r.random() < 0.5, f"{r.choice(NOUNS)} {r.choice(PLACES)}"][
        kind
    ]


def html_post(r: random.Random, theme: str, chars: int) -> str:
    """A post as question sites keep it: HTML with code, lists and entities."""
    parts = []
    for number, paragraph in enumerate(passage(r, theme, chars).split("\n\n")):
        parts.append(
            f"<p>{escape(paragraph)} Is {number} &lt; {r.randint(1, 99)} &amp; <em>{r.choice(NOUNS)}</em>?</p>"
        )
        if number % 2:
            parts.append(f"<pre><code>{escape(code(r, 'python', 150))}</code></pre>")
        else:
            parts.append(f"<ul>\n<li>{r.choice(NOUNS)}</li>\n<li>{escape(sentence(r, theme))}</li>\n</ul>")
    return "\n\n".join(parts)


# Pieces of programs; {a} to {d} are identifiers, {n} and {m} numbers, {s} a sentence, {w} a word.
PIECES = {
    "python": 'def {a}({b}, {c}={n}):\n    """{s}"""\n    {d} = [{b} % {m} for _ in range({c})]\n'
    '    if {b} > {n}:\n        return json.dumps({{"{w}": {d}}})\n    return None\n\n\n',
    "javascript": "// {s}\nexport function {a}({b}, {c} = {n}) {{\n  const {d} = {b}.map((x) => x * {m});\n"
    "  return JSON.parse({d}.{w} ?? '{c}');\n}}\n\n",
    "typescript": "/** {s} */\nexport interface I{a} {{\n  {b}: string;\n  {c}?: number;\n}}\n"
    "export const {d} = (x: I{a}): number => (x.{c} ?? {n}) + {m};\n\n",
    "rust": "/// {s}\npub fn {a}({b}: &str, {c}: u32) -> Option<u32> {{\n    let {d} = {b}.len() as u32 + {n};\n"
    "    if {d} > {c} {{ Some({m}) }} else {{ None }}\n}}\n\n",
    "go": "// {a}: {s}\nfunc {a}({b} string, {c} int) (int, error) {{\n\t{d} := len({b}) * {n}\n"
    '\tif {d} > {c} {{\n\t\treturn 0, fmt.Errorf("{w} %d", {m})\n\t}}\n\treturn {d}, nil\n}}\n\n',
    "java": "    /** {s} */\n    public int {a}(String {b}, int {c}) {{\n        int {d} = {b}.length() + {n};\n"
    "        return {d} > {c} ? {m} : {d};\n    }}\n\n",
    "sql": "-- {s}\nCREATE TABLE {a} (\n  {b} INTEGER PRIMARY KEY,\n  {c} TEXT DEFAULT '{w}'\n);\n"
    "SELECT {b}, COUNT({c}) AS {d} FROM {a} WHERE {b} > {n} GROUP BY {b} LIMIT {m};\n\n",
    "shell": '# {s}\n{a}() {{\n  local {b}="${{1:-{w}}}"\n  for {c} in $(seq {n} {m}); do\n'
    '    echo "${b} ${c} {d}" >> {w}.log\n  done\n}}\n\n',
    "protocol-buffer": "// {s}\nmessage {a} {{\n  string {b} = {n};\n  repeated int32 {c} = {m};\n"
    "  map<string, bytes> {d} = 7;\n}}\n\n",
    "thrift": '// {s}\nstruct {a} {{\n  1: required string {b} = "{w}",\n  2: optional i64 {c} = {n},\n'
    "  3: list<double> {d}\n}}\n\n",
    "xslt": '<!-- {s} -->\n<xsl:template match="{a}[{b} &gt; {n}]">\n'
    '  <{c}><xsl:value-of select="{d}/{w}"/></{c}>\n</xsl:template>\n\n',
}


def code(r: random.Random, language: str, chars: int = 1500) -> str:
    """A file in a language of `PIECES`, or in json or yaml."""
    enough, parts = r.uniform(0.5, 1.5) * chars, []
    while sum(map(len, parts)) < enough:
        if language == "yaml":
            parts.append(f"# {sentence(r, 'software')}\n{identifier(r)}: {json.dumps(value(r))}\n")
            continue
        if language == "json":
            parts.append(json.dumps({identifier(r): value(r)}, indent=2)[2:-2])
            continue
        names = dict(zip("abcd", (identifier(r) for _ in range(4)), strict=True))
        numbers = {"n": r.randint(2, 999), "m": r.randint(1000, 9999), "w": r.choice(NOUNS)}
        parts.append(PIECES[language].format(**names, **numbers, s=sentence(r, "software")))
    return "{\n" + ",\n".join(parts) + "\n}\n" if language == "json" else "".join(parts)
