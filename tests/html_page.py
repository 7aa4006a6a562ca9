"""A page as a browser sees it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data):
        self.text += data

    def words(self) -> str:
        return " ".join(self.text.split())
