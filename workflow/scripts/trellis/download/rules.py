"""The rules that hold for every document of a source, on rows and on whole columns; both give the same documents.

A text is taken with `\\n` line ends and without white space around it. It is set aside, in this order, as null_text,
bad_encoding (UTF-8 cannot spell it), too_short, too_long, compressible or other_language.
"""

import functools
import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trellis.experiment.sources import Rules

# What str.strip takes off.
SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
LANGUAGE_CHARACTERS = 1_000  # enough to tell a language by


def judge(text: str | None, rules: Rules) -> tuple[str, str | None]:
    """The text as it is taken, and the reason for which it is not."""
    if text is None:
        return "", "null_text"
    text = text.replace("\r\n", "\n").strip()
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return "", "bad_encoding"
    if len(text) < rules.min_chars:
        return text, "too_short"
    if len(text) > rules.max_chars:
        return text, "too_long"
    return text, _costly(text, content, rules)


def judge_column(texts: pa.Array, rules: Rules, rejected: Counter[str]) -> tuple[pa.StringArray, np.ndarray]:
    """The texts that are taken, of valid UTF-8 strings, and where they stood; the others are counted by reason."""
    kept = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    rejected["null_text"] += texts.null_count
    texts = texts.drop_null() if texts.null_count else texts
    if (_content(texts) == ord("\r")).any():
        texts = pc.replace_substring(texts, "\r\n", "\n")
    texts = pc.utf8_trim(texts, characters=SPACE)
    # A character has one to four bytes: only where that leaves a doubt are they counted.
    size = pc.binary_length(texts).to_numpy()
    short, long = size < rules.min_chars, size > 4 * rules.max_chars
    doubt = np.flatnonzero(~long & ~short & ((size < 4 * rules.min_chars) | (size > rules.max_chars)))
    characters = pc.utf8_length(texts.take(pa.array(doubt))).to_numpy()
    short[doubt], long[doubt] = characters < rules.min_chars, characters > rules.max_chars
    rejected["too_short"] += int(short.sum())
    rejected["too_long"] += int(long.sum())
    texts, kept = _only(texts, kept, ~(short | long))
    if rules.min_compression or rules.language:
        reasons = [_costly(text, text.encode(), rules) for text in texts.to_pylist()]
        rejected.update(reason for reason in reasons if reason)
        texts, kept = _only(texts, kept, np.array([reason is None for reason in reasons], bool))
    return texts.cast(pa.string()), kept


def _content(texts: pa.Array) -> np.ndarray:
    """The bytes of all the texts."""
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int64 if texts.type == pa.large_string() else np.int32)
    start, end = ends[texts.offset], ends[texts.offset + len(texts)]
    return np.frombuffer(content or b"", np.uint8)[start:end]


def _only(texts: pa.Array, kept: np.ndarray, fit: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    return (texts, kept) if fit.all() else (texts.filter(pa.array(fit)), kept[fit])


def _costly(text: str, content: bytes, rules: Rules) -> str | None:
    if rules.min_compression and len(zlib.compress(content)) < rules.min_compression * len(content):
        return "compressible"
    if rules.language and _classifier()(text[:LANGUAGE_CHARACTERS])[0] != rules.language:
        return "other_language"
    return None


@functools.cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    import py3langid  # loads its model

    return py3langid.classify
