"""Tell where a competition stands and which two submissions to make final; numbers go to standing.json."""

import dataclasses
import json

from pipeline import terminal
from pipeline.artifacts import paths, writer
from pipeline.config import Config
from pipeline.leaderboard import ledger
from pipeline.leaderboard.standing import SMALLEST_SHARE, FinalTwo, Scored, Standing, Step, standing
from pipeline.score.metrics import find_metric

COLUMNS = ("submission", "CV", "LB", "combined", "changed rows", "against the best before")


def tell(config: Config) -> None:
    """Print the scored submissions, how CV and LB agree, and the final two; write runs/NAME/standing.json.

    The drawn sample's submissions were scored locally, on all of its test rows. Nothing is asked of Kaggle.
    """
    drawn = config.data.drawn is not None
    slug = config.data.name if drawn else config.data.kaggle
    share = 1.0 if drawn else config.data.public_share
    metric = find_metric(config.data.metric)
    entries = ledger.latest(ledger.read(paths.ledger(config)), slug) if slug else []
    found = standing(entries, metric, share)
    if found is None:
        terminal.stage("submit", f"no scored submission to pick from: {_how_to_get_one(config)}")
        return
    content = {
        "competition": slug,
        "metric": metric.name,
        "greater_is_better": metric.greater_is_better,
        "public_share": share,
        "smallest_share": SMALLEST_SHARE,
        **dataclasses.asdict(found),
    }
    path = paths.competition(config) / "standing.json"
    writer.publish_bytes(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
    where = "locally" if drawn else f"by {slug}"
    better = "higher" if metric.greater_is_better else "lower"
    terminal.stage("submit", f"{_count(len(found.submissions), 'submission')} scored {where}")
    rows = [_row(item, step) for item, step in zip(found.submissions, found.steps, strict=True)]
    terminal.table(f"{metric.name}, {better} is better", COLUMNS, rows)
    for line in [
        *_remarks(found),
        *_agreement(found),
        *_public_part(found, share),
        *final_lines(found.final),
    ]:
        terminal.say(line)
    terminal.say(f"Numbers  {path}")


def final_lines(final: FinalTwo) -> list[str]:
    """Write the proposal, and why others that scored higher were passed over.

    >>> final_lines(FinalTwo(("a.csv", "c.csv"), 0.125, ()))
    ['Final two: a.csv and c.csv, which differ in 12.5 % of their rows']
    >>> final_lines(FinalTwo(("a.csv",), None, ()))
    ['Final: a.csv; it is the only scored submission, so there is no second one to propose']
    """
    first, *second = final.chosen
    why = [f"  {item.name}: {_why_passed(item.share, first)}" for item in final.passed]
    if second:
        line = f"Final two: {first} and {second[0]}, which differ in {_percent(final.share)} of their rows"
        return [line, *(["Passed over between the two:", *why] if why else [])]
    if not why:
        return [f"Final: {first}; it is the only scored submission, so there is no second one to propose"]
    return [f"Final: {first}; no other is known to differ in {_percent(SMALLEST_SHARE)} of the rows:", *why]


def _why_passed(share: float | None, first: str) -> str:
    if share is None:
        return f"how much it differs is unknown: its file or that of {first} is gone, or isn't the one sent"
    return f"it differs from {first} in {_percent(share)} of the rows, less than {_percent(SMALLEST_SHARE)}"


def _row(item: Scored, step: Step) -> list[str]:
    changed = "" if step.changed is None else f"{step.changed:,.1f}".removesuffix(".0")
    cv, lb = _with_error(item.cv, item.cv_se), _with_error(item.lb, item.lb_se)
    return [item.name, cv, lb, _with_error(item.combined, item.combined_se), changed, _verdict(step)]


def _verdict(step: Step) -> str:
    if step.gain is None:
        return step.verdict
    gain = f"{'better' if step.gain > 0 else 'worse'} by {abs(step.gain):.4f}" if step.gain else "the same"
    if step.needed is None:
        return f"{step.verdict}: {gain}"
    by = " by standard errors" if step.by == "standard errors" else ""
    return f"{step.verdict}: {gain}, noise {step.needed:.4f}{by}"


def _remarks(found: Standing) -> list[str]:
    lines = [f"{item.name}: {item.remark}; LB ± unknown" for item in found.submissions if item.remark]
    if any(step.gain is not None and step.changed is None for step in found.steps):
        lines.append(
            "Where no changed rows stand, a file is gone or isn't the one sent: noise is then that of two "
            "independent scores, if their standard errors are known."
        )
    if 0 < sum(item.combined_se is None for item in found.submissions) < len(found.submissions):
        lines.append("A combined score without ± is LB alone: it ranks behind the others.")
    if any(step.changed is not None and not step.changed.is_integer() for step in found.steps):
        lines.append("Changed rows of probabilities are the mass that moved: ½ Σ |p − q| of each row.")
    return lines


def _agreement(found: Standing) -> list[str]:
    gap, rank = found.gap, found.rank_correlation
    if gap.mean is None:
        return ["CV and LB can't be compared: no submission has both"]
    why = "unknown (it takes 3 submissions, CV and LB not all the same)"
    shown = why if rank is None else _signed(rank, 2)
    error = "" if gap.standard_error is None else f" ± {gap.standard_error:.4f}"
    return [
        f"CV and LB of {_count(gap.n, 'submission')}: rank correlation {shown}, "
        f"expected gap LB − CV {_signed(gap.mean, 4)}{error}"
    ]


def _public_part(found: Standing, share: float) -> list[str]:
    item = next((item for item in reversed(found.submissions) if item.public_rows), None)
    if item is None:
        return []
    if not share:
        return [
            f"LB ± is that of all {item.rows} test rows, the least that it can be: data.public_share isn't "
            "set (the leaderboard's page says it)"
        ]
    return [f"LB ± is that of {item.public_rows} public rows of {item.rows}"]


def _how_to_get_one(config: Config) -> str:
    if config.data.drawn:
        return "python -m pipeline makes one"
    if not config.data.kaggle:
        return "no Kaggle competition configured (data.kaggle)"
    return "python -m pipeline.submit --send makes one"


def _with_error(score: float | None, error: float | None) -> str:
    if score is None:
        return ""
    return f"{score:.4f}" if error is None else f"{score:.4f} ± {error:.4f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
