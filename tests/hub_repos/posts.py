"""Code, issues, questions and dialogues: documents that a renderer makes from several columns."""

from collections.abc import Callable
from random import Random

import pyarrow as pa

from hub_repos.files import DECOY, SHORT, Row, make_rows, parquet
from hub_repos.text import (
    ADJECTIVES,
    FIRST,
    NOUNS,
    PLACES,
    THEMES,
    code,
    html_post,
    identifier,
    passage,
    pick_theme,
    sentence,
    title,
)

# Ending and style (of `text.PIECES`) of each language folder; those of the second group are smaller.
LANGUAGES = {
    **{"python": ("py", "python"), "typescript": ("ts", "typescript"), "javascript": ("js", "javascript")},
    **{
        "rust": ("rs", "rust"),
        "go": ("go", "go"),
        "java": ("java", "java"),
        "sql": ("sql", "sql"),
        "shell": ("sh", "shell"),
    },
    **{"json": ("json", "json"), "yaml": ("yml", "yaml"), "protocol-buffer": ("proto", "protocol-buffer")},
    **{"thrift": ("thrift", "thrift"), "xslt": ("xsl", "xslt")},
}
OTHERS = {
    **{"assembly": ("asm", "shell"), "c": ("c", "java"), "c-sharp": ("cs", "java"), "cpp": ("cpp", "java")},
    **{
        "css": ("css", "thrift"),
        "dart": ("dart", "java"),
        "dockerfile": ("dockerfile", "shell"),
        "html": ("html", "xslt"),
    },
    **{"elixir": ("ex", "python"), "haskell": ("hs", "rust"), "julia": ("jl", "python"), "kotlin": ("kt", "java")},
    **{"lua": ("lua", "shell"), "makefile": ("mk", "shell"), "markdown": ("md", "shell"), "perl": ("pl", "javascript")},
    **{"php": ("php", "javascript"), "r": ("r", "python"), "ruby": ("rb", "python"), "scala": ("scala", "rust")},
}
CODE = {
    "max_stars_repo_path": pa.string(),
    "max_stars_repo_name": pa.string(),
    "max_stars_count": pa.int64(),
    "id": pa.string(),
    "content": pa.string(),
}
NOTEBOOK = {"path": pa.string(), "repo_name": pa.string(), "id": pa.string(), "content": pa.string()}
ISSUE = {"repo": pa.string(), "issue_id": pa.string(), "content": pa.string()}
TECHNICAL = {
    "stackoverflow.com": "software",
    "softwareengineering.stackexchange.com": "software",
    "codereview.stackexchange.com": "software",
    "unix.stackexchange.com": "software",
    "askubuntu.com": "software",
    "serverfault.com": "software",
    "superuser.com": "software",
    "dba.stackexchange.com": "software",
    "datascience.stackexchange.com": "learning",
    "ai.stackexchange.com": "learning",
    "cs.stackexchange.com": "software",
    "cstheory.stackexchange.com": "mathematics",
    "stats.stackexchange.com": "mathematics",
    "math.stackexchange.com": "mathematics",
    "devops.stackexchange.com": "software",
    "security.stackexchange.com": "software",
}
ANSWER = pa.struct(
    {
        "answer_id": pa.int64(),
        "author": pa.string(),
        "author_id": pa.int64(),
        "author_profile": pa.string(),
        "pm_score": pa.int64(),
        "selected": pa.bool_(),
        "text": pa.string(),
    }
)
QUESTION = {
    "qid": pa.int64(),
    "question": pa.string(),
    "answers": pa.list_(ANSWER),
    "date": pa.string(),
    "metadata": pa.list_(pa.string()),
}
SQL = {
    **{"schema": pa.string(), "question": pa.string(), "query": pa.string()},
    **{"num_tables": pa.int64(), "num_columns": pa.int64(), "num_joins": pa.int64(), "number_of_rows": pa.int64()},
}
MESSAGES = pa.list_(pa.struct({"content": pa.string(), "role": pa.string()}))
CHAT = {"prompt": pa.string(), "prompt_id": pa.string(), "messages": MESSAGES}


def starcoder(scale: float) -> dict[str, bytes]:
    def source_file(language: str) -> Callable[[Random, int], Row]:
        ending, style = (LANGUAGES | OTHERS)[language]

        def make(r: Random, number: int) -> Row:
            repo = f"{r.choice(FIRST).lower()}/{r.choice(NOUNS)}-{r.choice(NOUNS)}"
            path = f"src/{r.choice(NOUNS)}/{identifier(r)}.{ending}"
            # In some folders the content opens with what the other columns say.
            opening = f"<reponame>{repo}<filename>{path}<gh_stars>1-10\n" if number % 4 == 3 else ""
            return {
                "max_stars_repo_path": path,
                "max_stars_repo_name": repo,
                "max_stars_count": r.randint(1, 5000) if number % 3 else None,
                "id": str(r.randrange(10**7)),
                "content": opening + code(r, style),
            }

        return make

    def notebook(r: Random, number: int) -> Row:
        cells = [f"# # {title(r, 'learning')}\n"]
        for _ in range(r.randint(3, 6)):
            cells += [f"# {sentence(r, 'learning', r.randint(1, 3))}\n", f"# +\n{code(r, 'python', 250)}# -\n"]
        path = f"notebooks/{r.choice(NOUNS)}_{number}.ipynb"
        return {"path": path, "repo_name": f"lab/{r.choice(NOUNS)}", "id": str(number), "content": "\n".join(cells)}

    def issue(r: Random, number: int) -> Row:
        comments = [
            f"username_{r.randint(0, 2)}: {passage(r, 'software', 350)}\n```\n{code(r, 'json', 120)}```"
            for _ in range(r.randint(2, 4))
        ]
        text = f"<issue_start><issue_comment>Title: {title(r, 'software')}\n" if number % 2 else "<issue_start>"
        text += "<issue_comment>".join(comments) + ("<issue_closed>" if number % 3 else "")
        return {
            "repo": f"{r.choice(FIRST).lower()}/{r.choice(NOUNS)}",
            "issue_id": str(10**6 + number),
            "content": text,
        }

    bad = [{"content": None}, {"content": SHORT}, {"content": "0123456789\n" * 400}]
    files = {}
    for language in LANGUAGES | OTHERS:
        for number in range(2 if language in ("python", "json", "sql") else 1):
            path = f"{language}/train-{number:05d}-of-{number + 2:05d}.parquet"
            count = (6 if language in LANGUAGES else 3) * scale
            files[path] = parquet(make_rows(path, count, source_file(language), bad), CODE)
    path = "jupyter-scripts-dedup-filtered/train-00000-of-00029.parquet"
    files[path] = parquet(make_rows(path, 30 * scale, notebook, bad), NOTEBOOK)
    path = "github-issues-filtered-structured/train-00000-of-00060.parquet"
    files[path] = parquet(make_rows(path, 30 * scale, issue, bad), ISSUE)
    return files | dict.fromkeys(
        ["ada/train-00000-of-00001.parquet", "git-commits-cleaned/train-00000-of-00065.parquet"], DECOY
    )


def sqale(scale: float) -> dict[str, bytes]:
    def example(r: Random, number: int) -> Row:
        # About four questions share a schema, as in the set itself.
        shared = Random(f"schema {number // 4}")
        tables = [identifier(shared) for _ in range(3)]
        columns = {table: [f"{shared.choice(ADJECTIVES)}_{shared.choice(NOUNS)}" for _ in range(4)] for table in tables}
        schema = "\n".join(
            f"CREATE TABLE {table} (\n  id INTEGER PRIMARY KEY,\n  "
            + ",\n  ".join(f"{name} {shared.choice(['TEXT', 'INTEGER', 'REAL'])}" for name in names)
            + "\n);"
            for table, names in columns.items()
        )
        one, other = r.sample(tables, 2)
        column, place, limit = r.choice(columns[one]), r.choice(PLACES), r.randint(2, 999)
        query = f"SELECT {one}.{column}, COUNT(*) FROM {one} JOIN {other} ON {one}.id = {other}.id"
        query += f" WHERE {other}.{columns[other][0]} = '{place}' GROUP BY {one}.{column} HAVING COUNT(*) > {limit};"
        question = f"How often does each {column} of {one} occur more than {limit} times for {place}? "
        question += " ".join(sentence(r, "software") for _ in range(5))
        counts = {"num_tables": 3, "num_columns": 15, "num_joins": 1, "number_of_rows": r.randint(0, 99)}
        return {"schema": schema, "question": question, "query": query, **counts}

    bad = [{"query": None}, {"schema": None}, {"question": ""}, {"schema": "x", "question": "x", "query": "x"}]
    paths = [f"data/train-0000{number}-of-00003.parquet" for number in range(3)]
    return {path: parquet(make_rows(path, 80 * scale, example, bad), SQL) for path in paths}


def stackexchange(scale: float) -> dict[str, bytes]:
    def answer(r: Random, theme: str, score: int, selected: bool) -> Row:
        name, account = r.choice(FIRST), r.randint(1, 10**6)
        return {
            **{"answer_id": r.randrange(10**8), "author": name, "author_id": account, "pm_score": score},
            **{"author_profile": f"https://stackexchange.example/users/{account}", "selected": selected},
            "text": html_post(r, theme, 600),
        }

    def thread(site: str) -> Callable[[Random, int], Row]:
        theme = TECHNICAL.get(site) or "business"

        def make(r: Random, number: int) -> Row:
            scores = [r.randint(3, 6), *(r.randint(-1, 4) for _ in range(r.randint(1, 3)))]
            answers = [answer(r, theme, score, place == 0 and number % 2 == 0) for place, score in enumerate(scores)]
            r.shuffle(answers)
            qid = r.randrange(10**8)
            links = [
                f"https://{site}/questions/{qid}",
                f"https://{site}",
                f"https://{site}/users/{r.randint(1, 9999)}/",
            ]
            question = f"<p>{title(r, theme)}?</p>\n\n{html_post(r, theme, 500)}"
            return {"qid": qid, "question": question, "answers": answers, "date": "2021/11/02", "metadata": links}

        return make

    low = {"answer_id": 1, "author": None, "author_id": None, "author_profile": None, "pm_score": 1, "selected": False}
    bad = [
        {"question": None},
        {"answers": []},
        {"answers": None},
        {"answers": [{**low, "text": f"<p>{'A low score. ' * 20}</p>"}]},
        {"question": "<p>?</p>", "answers": [{**low, "pm_score": 5, "text": "<p>Yes.</p>"}]},
    ]
    files = {}
    for site in TECHNICAL:
        path = f"data/{site}/1.parquet"
        files[path] = parquet(make_rows(path, 9 * scale, thread(site), bad), QUESTION)
    decoys = ["data/cooking.stackexchange.com/1.parquet", "data/math.meta.stackexchange.com/1.parquet"]
    return files | dict.fromkeys(decoys, DECOY)


def ultrachat(scale: float) -> dict[str, bytes]:
    def dialogue(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        prompt = f"{sentence(r, theme)} Explain the {r.choice(THEMES[theme])} and give {r.randint(2, 9)} examples."
        turns = [("user", prompt), ("assistant", passage(r, theme, 700))]
        for _ in range(r.randint(0, 2)):
            turns += [
                ("user", f"And the {r.choice(NOUNS)}? {sentence(r, theme)}"),
                ("assistant", passage(r, theme, 500)),
            ]
        messages = [{"content": text, "role": role} for role, text in turns]
        return {"prompt": prompt, "prompt_id": f"{r.getrandbits(256):064x}", "messages": messages}

    bad = [
        {"messages": None},
        {"messages": []},
        {"messages": [{"content": SHORT, "role": "user"}]},
        {
            "messages": [
                {"content": None, "role": "user"},
                {"content": "An answer to nothing. " * 9, "role": "assistant"},
            ]
        },
    ]
    paths = [
        "data/train_sft-00000-of-00003-a3ecf92756993583.parquet",
        "data/train_sft-00001-of-00003-0a1804bcb6ae68c6.parquet",
    ]
    paths += ["data/train_gen-00000-of-00003-a6c9fb894be3e50b.parquet"]
    paths += ["data/test_sft-00000-of-00001-f7dfac4afe5b93f4.parquet"]
    files = {path: parquet(make_rows(path, 50 * scale, dialogue, bad), CHAT) for path in paths}
    return files | dict.fromkeys(["data/test_gen-00000-of-00001-3d4cd8309148a71f.parquet"], DECOY)


def smoltalk(scale: float) -> dict[str, bytes]:
    def dialogue(r: Random, number: int) -> Row:
        theme = pick_theme(r)
        turns = [("system", f"Answer in {r.randint(2, 5)} sentences.")] if number % 3 == 0 else []
        for _ in range(r.randint(1, 3)):
            turns += [("user", f"What about the {r.choice(NOUNS)}? {sentence(r, theme)}")]
            turns += [("assistant", " ".join(sentence(r, theme) for _ in range(3)))]
        return {"messages": [{"content": text, "role": role} for role, text in turns], "source": "generated-small"}

    bad = [
        {"messages": []},
        {"messages": None},
        {"messages": [{"content": "No answer follows.", "role": "user"}]},
        {"messages": [{"content": "Hello", "role": "user"}, {"content": None, "role": "assistant"}]},
    ]
    columns = {"messages": MESSAGES, "source": pa.string()}
    paths = [f"data/train-0000{number}-of-00004.parquet" for number in range(2)]
    files = {path: parquet(make_rows(path, 100 * scale, dialogue, bad), columns) for path in paths}
    return files | dict.fromkeys(["data/test-00000-of-00001.parquet"], DECOY)
