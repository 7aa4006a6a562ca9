"""HTML to text: blocks set apart by blank lines, lists and quotations as in Markdown, code fenced, links as their text.

Nothing of it is executed, fetched or trusted; scripts and styles are left out.
"""

import html
import re

LEFT_OUT = {"script", "style", "template"}
BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "tfoot", "thead", "title", "tr", "ul",
}  # fmt: skip
# Not html.parser: it takes minutes for some 60 kB of unclosed tags. Here no byte is looked at more than a few times.
TOKEN = re.compile(r"<!--|<(/?)([A-Za-z][A-Za-z0-9]*)([^<>A-Za-z0-9][^<>]*)?>|<[!?][^<>]*>")
ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
SPACE, SPACES, BREAK = re.compile(r"[ \t\n\r\f]+"), re.compile(" {2,}"), re.compile(" ?\v ?")
DEEPEST = 20  # lists and quotations in each other; deeper ones count as the last of these


def text_of(markup: str) -> str:
    """The text of an HTML fragment; whatever is no tag is text."""
    reader, position = _Reader(), 0
    while token := TOKEN.search(markup, position):
        reader.take_text(markup[position : token.start()])
        position = token.end()
        if token[0] == "<!--":
            end = markup.find("-->", position)
            position = end + 3 if end >= 0 else len(markup)
        elif token[2]:
            (reader.end if token[1] else reader.begin)(token[2].lower(), token[3] or "")
    reader.take_text(markup[position:])
    reader.end_block()
    return "\n\n".join(reader.blocks)


class _Reader:
    """Collects inline text, and closes a block wherever an element of BLOCKS begins or ends."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._inline: list[str] = []
        self._around: list[list] = []  # the lists and quotations that are open: [tag, number of the last item]
        self._marker = ""  # of the list item whose first block comes next
        self._tight = False  # the block continues its list: no blank line before it
        self._left_out = ""  # the element of LEFT_OUT that is open
        self._code = self._verbatim = False

    def begin(self, tag: str, attributes: str) -> None:
        if self._left_out:
            return
        if tag in LEFT_OUT:
            self._left_out = tag
        if tag in BLOCKS and not self._verbatim:
            self.end_block()
        if tag == "pre":
            self._verbatim = True
        elif tag == "code" and not self._verbatim and not self._code:
            self._code = True
            self._inline.append("`")
        elif tag == "br":
            self._inline.append("\n" if self._verbatim else "\v")
        elif tag in ("td", "th") and any(piece.strip() for piece in self._inline):
            self._inline.append(" | ")
        elif tag == "img":
            alt = ALT.search(attributes)
            self.take_text((alt[1] or alt[2] or "") if alt else "")
        elif tag in ("ul", "ol", "blockquote") and len(self._around) < DEEPEST:
            self._around.append([tag, 0])
        elif tag == "li":
            self._begin_item()

    def end(self, tag: str, attributes: str) -> None:
        if self._left_out:
            self._left_out = "" if tag == self._left_out else self._left_out
        elif tag == "code" and self._code:
            self._code = False
            self._inline.append("`")
        elif tag == "pre" and self._verbatim:
            self._end_code()
        elif tag in BLOCKS and not self._verbatim:
            self.end_block()
            if any(tag == opened for opened, _ in self._around):
                while self._around.pop()[0] != tag:
                    pass
                self._marker = ""

    def take_text(self, text: str) -> None:
        if text and not self._left_out:
            text = text if self._verbatim else SPACE.sub(" ", text)
            self._inline.append(html.unescape(text))

    def end_block(self) -> None:
        """Closes the block of text that is open, if there is one."""
        if not self._inline:
            return
        text = SPACES.sub(" ", "".join(self._inline) + "`" * self._code)
        self._inline, self._code = [], False
        text = BREAK.sub("\n", text).strip()
        if text.strip("`"):
            self._add(text)

    def _end_code(self) -> None:
        code = "".join(self._inline).strip("\n")
        self._inline, self._verbatim = [], False
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
