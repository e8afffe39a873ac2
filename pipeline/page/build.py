"""Assembles the report: figures, tables and thumbnails in one self-contained page without any request."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.artifacts import paths
from pipeline.config import Config
from pipeline.page import plots, summary
from pipeline.page.audit import Audit, audit
from pipeline.page.class_counts import ClassCounts, class_counts
from pipeline.page.classes import ClassResult, class_results, thirds
from pipeline.page.confused import Confused, confused
from pipeline.page.data import Content, gather
from pipeline.page.duplicates import Duplicates, duplicates
from pipeline.page.ensemble import ensemble
from pipeline.page.escape import json_for_script, plotly_text, printable
from pipeline.page.fold_balance import fold_balance, torn_images
from pipeline.page.members import member_rows
from pipeline.page.official import official
from pipeline.page.shift import shift
from pipeline.page.sizes import Sizes, sizes
from pipeline.page.suspects import SuspectList, suspects
from pipeline.page.tuned import tuned
from pipeline.page.values import finite, score
from pipeline.page.worst import worst_images

HERE = Path(__file__).parent
CURVES = {
    "curve-loss": ("loss", "Training loss"),
    "curve-log-loss": ("valid_log_loss", "Validation log-loss"),
    "curve-score": ("valid_score", "Validation {metric}"),
}


def build(config: Config) -> bytes:
    """Make the page (UTF-8) from whatever files of the competition exist; equal files give equal bytes."""
    content = gather(config)
    figures: dict[str, plots.Figure] = _curves(content)
    values = _values(content, config, figures)
    scripts = [_plotly(), (HERE / "report.js").read_text(encoding="utf-8")]
    page = _template().render(
        **values,
        figures=_safe(json_for_script(figures)),
        drawn=set(figures),
        policy=_policy(scripts),
        plotly=_safe(scripts[0]),
        script=_safe(scripts[1]),
        style=_safe((HERE / "report.css").read_text(encoding="utf-8")),
    )
    return page.encode("utf-8")


def _values(content: Content, config: Config, figures: dict[str, plots.Figure]) -> dict[str, Any]:
    fold_count = int(finite(content.folds.get("count")) or config.folds.count)
    described, drawn = ensemble(content)
    figures |= drawn
    predicted = _predicted_values(content, figures)
    return {
        "content": content,
        "tiles": summary.tiles(content),
        "other_metrics": summary.other_metrics(content),
        "official": official(content.scores),
        "tuned": tuned(config, str(content.folds.get("digest", ""))),
        "ensemble": described,
        "member_rows": member_rows(content, fold_count),
        "blend_score": score(content.scores.get("cross_fitted")) if content.scores else "",
        "naive_score": score(content.scores.get("naive")) if content.scores else "",
        "submission_link": summary.submission_link(content, paths.report(config)),
        "fold_count": fold_count,
        "line_styles": [plots.line_style(i) for i in range(len(content.runs))],
        **predicted,
        **_data_values(content, config, predicted["results"], figures),
    }


def _predicted_values(content: Content, figures: dict[str, plots.Figure]) -> dict[str, Any]:
    """Describe what the cross-fitted predictions say of classes and images; adds the figures."""
    oof, classes, album = content.oof, content.classes, content.album
    values: dict[str, Any] = {
        "results": [],
        "thirds": [],
        "confusion_classes": 0,
        "confused": Confused(),
        "suspects": SuspectList(),
        "worst": [],
    }
    if oof is not None and album is not None:
        counts, results = class_results(oof, classes, content.scores)
        figures["confusion"], values["confusion_classes"] = plots.confusion(counts, classes)
        figures["f1-by-images"] = plots.f1_by_images(results)
        values["results"], values["thirds"] = results, thirds(results, content.scores)
        values["confused"] = confused(oof, classes, counts, album)
        values["suspects"] = suspects(oof, classes, album)
        values["worst"] = worst_images(oof, classes, album)
    return values


def _data_values(
    content: Content, config: Config, results: list[ClassResult], figures: dict[str, plots.Figure]
) -> dict[str, Any]:
    """Describe the images themselves; adds the figures."""
    images, album = content.images, content.album
    torn = torn_images(images, paths.folds_table(config))
    balance, drawn = fold_balance(content.folds, content.classes, torn)
    figures |= drawn
    values: dict[str, Any] = {
        "audit": Audit(),
        "balance": balance,
        "shift": shift(content.shift, album),
        "sizes": Sizes(),
        "counted": ClassCounts(),
        "duplicates": Duplicates(),
    }
    if images is not None and album is not None:
        values["audit"] = audit(images, album)
        values["counted"], drawn = class_counts(images, content.classes, results)
        figures |= drawn
        values["sizes"], drawn = sizes(images, config.members)
        figures |= drawn
        values["duplicates"] = duplicates(images, album)
    return values


def _curves(content: Content) -> dict[str, plots.Figure]:
    drawn = {
        place: plots.learning_curve(content.runs, name, title.format(metric=plotly_text(content.metric)))
        for place, (name, title) in CURVES.items()
    }
    return {place: figure for place, figure in drawn.items() if figure is not None}


def _policy(scripts: list[str]) -> str:
    """Allow these scripts and nothing else; plotly.js writes styles and saves pictures as data or blob."""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.get_template("report.html.j2")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)
