"""Makes text from data safe to show: class names, ids and file names hold whatever a stranger put there."""

import json
from typing import Any

HTML_CHARACTERS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
JSON_CHARACTERS = str.maketrans({"&": r"\u0026", "<": r"\u003c", ">": r"\u003e"})


def printable(text: str) -> str:
    r"""Write control characters, text-direction marks and halves of UTF-8 characters as escapes.

    >>> print(printable("wing\x1b[31m.jpg"))
    wing\x1b[31m.jpg
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plotly_text(text: str) -> str:
    """Write a text for a plotly label or hover, where <b>, <a href> and &lt; would be markup.

    >>> plotly_text("<b>bold & brave")
    '&lt;b&gt;bold &amp; brave'
    """
    return printable(text).translate(HTML_CHARACTERS)


def json_for_script(value: Any) -> str:
    r"""Write JSON that can stand in a <script> element: nothing in it ends the element or opens a comment.

    Raises ValueError for a number that is NaN or infinite: see values.finite.

    >>> print(json_for_script({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.translate(JSON_CHARACTERS)
