"""Check a submission before anything is sent: all its faults at once, each with its first rows."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.leaderboard.csv_rows import Rows, delimiter, read_loosely
from pipeline.leaderboard.form import Form

SHOWN = 3
SUM_TOLERANCE = 1e-3
SHIFT_ERRORS = 5.0  # standard errors of a class's share that are called far


@dataclass(frozen=True)
class Verdict:
    """What a check found: `faults` forbid sending, `warnings` don't; predicted rows by class name."""

    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    class_counts: dict[str, int]


def check_submission(
    data: bytes,
    form: Form,
    oof_shares: Sequence[float] | None = None,
    sample_bytes: bytes | None = None,
    *,
    computed: bool = False,
) -> Verdict:
    """Check a submission's bytes against the sample's form.

    `oof_shares` [C] are the predicted classes' shares out of fold, in the order of form.classes;
    `sample_bytes` the sample submission, which must not be sent itself: only a warning where the ensemble
    `computed` the file, since few rows may come out equal. Nothing is raised: what is wrong stands in the
    verdict.
    """
    rows, faults = read_loosely(data)
    if not rows:
        return Verdict((*faults, "it has no rows"), (), {})
    faults += _header_faults(rows[0], form) + _delimiter_faults(data, form)
    width = len(form.header)
    ragged = [f"line {i}: {len(row)} cells" for i, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    faults += _listed(f"rows with another number of cells than the header's {len(rows[0])}", ragged)
    body = [row for row in rows[1:] if len(row) == width]
    faults += _id_faults(body, form)
    cell_faults, chosen = (_label_cells if form.kind in ("label", "topk") else _prob_cells)(body, form)
    faults += cell_faults
    counts = {name: chosen.count(i) for i, name in enumerate(form.classes)} if chosen else {}
    warnings = _order_warnings(body, form) + _share_warnings(counts, oof_shares)
    if sample_bytes is not None and _says_the_same(data, sample_bytes):
        if computed:
            warnings.append("its predictions are those of the sample submission")
        else:
            faults.append("it is the sample submission itself")
    return Verdict(tuple(faults), tuple(warnings), counts)


def prediction_digest(data: bytes) -> str:
    """Hash what a submission says, whatever the order of its rows and columns and the digits of its numbers.

    >>> prediction_digest(b"id,p\\n1,0.50\\n2,1\\n") == prediction_digest(b"id,p\\r\\n2,1.0\\r\\n1,.5\\r\\n")
    True
    >>> prediction_digest(b"id,p\\n01,1\\n") == prediction_digest(b"id,p\\n1,1\\n")
    False
    """
    rows, _ = read_loosely(data)
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return hashlib.sha256(data).hexdigest()
    columns = sorted(range(1, len(rows[0])), key=lambda i: rows[0][i])
    body = sorted(rows[1:])
    hashed = hashlib.sha256(repr([rows[0][0], *(rows[0][i] for i in columns)]).encode())
    hashed.update(repr([row[0] for row in body]).encode())
    values = _values(body)
    if values is not None and np.isfinite(values).all():
        hashed.update(values[:, [i - 1 for i in columns]].astype("<f4").tobytes())
    else:
        hashed.update(repr([[row[i].strip() for i in columns] for row in body]).encode())
    return hashed.hexdigest()


def _says_the_same(data: bytes, other: bytes) -> bool:
    # Most files differ in their first rows, in whatever order: no need to hash both whole.
    rows, others = read_loosely(data)[0], read_loosely(other)[0]
    by_id = {row[0]: row for row in rows}
    few = others[1:100]
    if len(rows) != len(others) or any(_differ(by_id.get(row[0]), row) for row in few):
        return False
    return prediction_digest(data) == prediction_digest(other)


def _header_faults(header: Sequence[str], form: Form) -> list[str]:
    if tuple(header) == form.header:
        return []
    shown = f"the header is {_cut(','.join(header))!r}, the sample's {_cut(','.join(form.header))!r}"
    if any(name == "" or name.startswith("Unnamed:") for name in header):
        shown += " (a data frame's index was written too: index=False)"
    elif sorted(header) == sorted(form.header):
        shown += " (the same columns in another order)"
    return [shown]


def _delimiter_faults(data: bytes, form: Form) -> list[str]:
    found = delimiter(data.decode("utf-8-sig"))
    if found == form.delimiter:
        return []
    return [f"its columns are separated by {found!r}, the sample's by {form.delimiter!r}"]


def _id_faults(body: Rows, form: Form) -> list[str]:
    ids = [row[0] for row in body]
    wanted, given = set(form.ids), set(ids)
    missing = [name for name in form.ids if name not in given]
    extra = [name for name in dict.fromkeys(ids) if name not in wanted]
    faults = [] if len(ids) == len(form.ids) else [f"{len(ids)} rows, the sample has {len(form.ids)}"]
    by_stem = {_stem(name): name for name in missing}
    lost = [(name, by_stem[_stem(name)]) for name in extra if _stem(name) in by_stem]
    faults += _listed("ids lost their form", [f"{name!r} was {was!r}" for name, was in lost])
    told = {name for pair in lost for name in pair}
    faults += _listed("ids are missing", [repr(name) for name in missing if name not in told])
    faults += _listed("ids are not in the sample", [repr(name) for name in extra if name not in told])
    seen: set[str] = set()
    doubled = [repr(name) for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    return faults + _listed("ids are there again", doubled)


def _label_cells(body: Rows, form: Form) -> tuple[list[str], list[int]]:
    index = {label: i for i, label in enumerate(form.labels)}
    empty, other, strange, long = [], [], [], []
    chosen = []
    for row in body:
        cell = row[1]
        labels = cell.split(form.separator) if form.kind == "topk" and cell not in index else [cell]
        unknown = [label for label in labels if label not in index]
        if not cell.strip() or cell.strip().lower() in ("nan", "none", "null"):
            empty.append(f"{row[0]!r}: {cell!r}")
        elif len(labels) > form.k:
            long.append(f"{row[0]!r}: {len(labels)}")
        elif unknown and all(_is_other_form(label, form) for label in unknown):
            other.append(f"{row[0]!r}: {_cut(cell)!r}")
        elif unknown:
            strange.append(f"{row[0]!r}: {_cut(cell)!r}")
        else:
            chosen.append(index[labels[0]])
    faults = _listed("predictions are empty", empty) + _listed(f"cells hold over {form.k} labels", long)
    faults += _listed(f"labels are not written as the sample's ({form.written})", other)
    return faults + _listed("labels are none of the classes", strange), chosen


def _is_other_form(label: str, form: Form) -> bool:
    number = _number(label)
    return (
        label.strip() in form.labels or label in form.classes or (number is not None and number.is_integer())
    )


def _prob_cells(body: Rows, form: Form) -> tuple[list[str], list[int]]:
    values = _values(body)
    if values is None:
        numbers = [[_number(cell) for cell in row[1:]] for row in body]
        values = np.array([[math.nan if x is None else x for x in row] for row in numbers])
    if not len(values):
        return [], []
    low, high, sums = values.min(1), values.max(1), values.sum(1)
    bad = ~np.isfinite(values).all(1)
    outside = ~bad & ((low < 0) | (high > 1))
    uneven = ~bad & ~outside & (abs(sums - 1) > SUM_TOLERANCE) & (form.kind == "probs")
    shown = {i: f"{body[i][0]!r}: {_cut(','.join(body[i][1:]))!r}" for i in np.flatnonzero(bad).tolist()}
    faults = _listed("predictions are empty, not finite or no numbers", list(shown.values()))
    ranges = [f"{body[i][0]!r}: {low[i]:g} to {high[i]:g}" for i in np.flatnonzero(outside)]
    faults += _listed("probabilities are outside 0 to 1", ranges)
    totals = [f"{body[i][0]!r}: {sums[i]:.4f}" for i in np.flatnonzero(uneven)]
    faults += _listed("rows of probabilities don't sum to 1", totals)
    if form.kind == "binary":
        chosen = np.where(values[:, 0] >= 0.5, form.positive, 1 - form.positive)
    else:
        chosen = values[:, form.column_of].argmax(1)
    return faults, chosen[~bad].tolist()


def _values(body: Rows) -> np.ndarray | None:
    """Read all cells behind the ids as float64 [n, columns]; None where one is no number."""
    try:
        return np.array([[float(cell) for cell in row[1:]] for row in body])
    except ValueError:
        return None


def _order_warnings(body: Rows, form: Form) -> list[str]:
    ids = tuple(row[0] for row in body)
    same = ids != form.ids and sorted(ids) == sorted(form.ids)
    return ["its rows are in another order than the sample's"] if same else []


def _share_warnings(counts: dict[str, int], oof_shares: Sequence[float] | None) -> list[str]:
    total = sum(counts.values())
    used = [name for name, count in counts.items() if count]
    if total > 1 and len(used) == 1:
        return [f"all {total} rows are predicted as {used[0]!r}"]
    if oof_shares is None or not total:
        return []
    far = []
    for (name, count), share in zip(counts.items(), oof_shares, strict=True):
        expected = max(share, 1 / total)
        error = math.sqrt(expected * (1 - expected) / total)
        if abs(count / total - share) > max(SHIFT_ERRORS * error, 0.02):
            far.append(f"{name!r} {count / total:.1%} (out of fold {share:.1%})")
    return _listed("classes have shares far from the out-of-fold ones", far)


def _listed(what: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = f" … and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return [f"{len(items)} {what}: {', '.join(items[:SHOWN])}{more}"]


def _stem(name: str) -> str:
    """Reduce an id to what survives a spreadsheet: `007`, `7` and `7.0` are one, `a.jpg` and `a` too."""
    text = name.strip()
    number = _number(text)
    if number is not None and math.isfinite(number):
        return repr(number)
    return text.rpartition(".")[0] or text


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _differ(row: list[str] | None, other: list[str]) -> bool:
    if row is None or len(row) != len(other):
        return True
    pairs = zip(row[1:], other[1:], strict=True)
    return any(a.strip() != b.strip() and (_number(a) is None or _number(a) != _number(b)) for a, b in pairs)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
