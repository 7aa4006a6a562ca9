"""Foreign text in which nothing is hidden."""

import unicodedata

# Control and format characters (bidi overrides, zero-width, tags), lone surrogates, non-characters, line separators.
HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """The text with every character that would hide or reorder some of it spelled as its code point, `⟨U+202E⟩`; lines
    and tabs stay."""
    return "".join(
        f"⟨U+{ord(char):04X}⟩" if char not in "\n\t" and unicodedata.category(char) in HIDDEN else char for char in text
    )
