"""What the report's tests ask of a page: elements, script contents, text, all of it by section."""

import html.parser
import json
from typing import Any


class Page(html.parser.HTMLParser):
    """A parsed page; `sections` holds the text and the images' attributes of each section by its id."""

    def __init__(self, content: bytes):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.texts: list[str] = []
        self.section_texts: dict[str, list[str]] = {}
        self.section_images: dict[str, list[dict[str, str | None]]] = {}
        self.open = self.section = ""
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self.open = tag
        if tag == "script":
            self.scripts.append((attributes, ""))
        elif tag == "section":
            self.section = attributes.get("id") or ""
        elif tag == "img":
            self.section_images.setdefault(self.section, []).append(attributes)

    def handle_endtag(self, tag: str) -> None:
        self.open = ""

    def handle_data(self, data: str) -> None:
        if self.open == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self.open != "style":
            self.texts.append(data)
            self.section_texts.setdefault(self.section, []).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def text_of(self, section: str) -> str:
        return " ".join(" ".join(self.section_texts.get(section, [])).split())

    def images_of(self, section: str) -> list[str]:
        """Return the names of a section's thumbnails, in their order."""
        return [attributes["alt"] or "" for attributes in self.section_images.get(section, [])]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def figures(self) -> dict[str, Any]:
        return next(
            json.loads(text) for attributes, text in self.scripts if attributes.get("id") == "figures"
        )
