"""HTML to text: blocks set apart by blank lines, lists and quotations as in Markdown, code fenced, links as their text.

Nothing of it is executed, fetched or trusted; scripts and styles are left out.
"""

import re
from html.parser import HTMLParser

LEFT_OUT = {"script", "style", "template"}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
}  # fmt: skip
SPACE = re.compile(r"[ \t\n\r\f]+")
DEEPEST = 20  # lists and quotations in each other; deeper ones count as the last of these


def text_of(html: str) -> str | None:
    """The text, or None where the standard library's parser gives up."""
    reader = _Reader()
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:  # what it raises on a malformed `<![`
        return None
    reader.end_block()
    return "\n\n".join(reader.blocks)


class _Reader(HTMLParser):
    """Collects inline text, and closes a block wherever an element of BLOCKS begins or ends."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._inline: list[str] = []
        self._around: list[list] = []  # the lists and quotations that are open: [tag, number of the last item]
        self._marker = ""  # of the list item whose first block comes next
        self._tight = False  # the block continues its list: no blank line before it
        self._left_out = self._code = self._verbatim = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in LEFT_OUT:
            self._left_out += 1
        if tag in BLOCKS and not self._verbatim:
            self.end_block()
        if tag == "pre":
            self._verbatim += 1
        elif tag == "code" and not self._verbatim:
            self._code += 1
            self._inline.append("`")
        elif tag == "br":
            self._inline.append("\n" if self._verbatim else "\v")
        elif tag in ("td", "th") and any(piece.strip() for piece in self._inline):
            self._inline.append(" | ")
        elif tag == "img":
            self.handle_data(dict(attributes).get("alt") or "")
        elif tag in ("ul", "ol", "blockquote") and len(self._around) < DEEPEST:
            self._around.append([tag, 0])
        elif tag == "li":
            self._begin_item()

    def handle_endtag(self, tag: str) -> None:
        if tag in LEFT_OUT:
            self._left_out = max(0, self._left_out - 1)
        if tag == "code" and self._code:
            self._code -= 1
            self._inline.append("`")
        elif tag == "pre" and self._verbatim:
            self._end_code()
        elif tag in BLOCKS and not self._verbatim:
            self.end_block()
            if any(tag == opened for opened, _ in self._around):
                while self._around.pop()[0] != tag:
                    pass
                self._marker = ""

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self._inline.append(data if self._verbatim else SPACE.sub(" ", data))

    def end_block(self) -> None:
        """Closes the block of text that is open, if there is one."""
        text = re.sub(r" +", " ", "".join(self._inline) + "`" * min(self._code, 1))
        self._inline, self._code = [], 0
        text = re.sub(r" ?\v ?", "\n", text).strip()
        if text and text.strip("`"):
            self._add(text)

    def _end_code(self) -> None:
        code = "".join(self._inline).strip("\n")
        self._inline, self._verbatim = [], 0
        if code.strip():
            fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", code)), default=0))
            self._add(f"{fence}\n{code}\n{fence}")

    def _begin_item(self) -> None:
        opened = self._around[-1] if self._around else ["ul", 0]
        opened[1] += 1
        self._marker = f"{opened[1]}. " if opened[0] == "ol" else "- "
        self._tight = opened[1] > 1

    def _add(self, text: str) -> None:
        marker, self._marker = self._marker, ""
        around = [tag for tag, _ in self._around]
        inner = "".join("> " if tag == "blockquote" else "  " for tag in around)
        outer = inner
        if marker:
            outer = (inner[:-2] if around and around[-1] != "blockquote" else inner) + marker
        first, *rest = text.split("\n")
        block = "\n".join([outer + first, *((inner + line).rstrip() for line in rest)])
        if marker and self._tight and self.blocks:
            self.blocks[-1] += "\n" + block
        else:
            self.blocks.append(block)
        self._tight = False
