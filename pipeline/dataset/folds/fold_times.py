"""The times of training images as numbers, for folds in their order: numbers or ISO 8601 dates, one form."""

import numpy as np
import pandas as pd

from pipeline.errors import DataError

NUMBER, DATE, ZONED, NEITHER = "a number", "a date", "a date with a time zone", "neither a number nor a date"
# Only behind a time of day: the last part of 2024-05-31 is no zone.
ZONE = r"[Tt ].*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
WANTED = (
    "Write all as numbers, or all as dates (ISO 8601: 2024-05-31 or 2024-05-31T12:30:00), with a time zone or"
    " without."
)


def parse_times(ids: pd.Series, values: pd.Series, column: str) -> np.ndarray:
    """Turn the text values of data.time_column into numbers that order the rows: int64 or float64 [n].

    Raises DataError with the id and the value of the first row without a time, with one that can't be read,
    or with one in another form than the first row's (numbers, dates, dates with a time zone).

    >>> parse_times(pd.Series(["a", "b"]), pd.Series(["2024-05-31", "2024-05-30T12:00"]), "day").argsort()
    array([1, 0])
    """
    ids, values = ids.reset_index(drop=True), values.reset_index(drop=True).str.strip()
    blank = np.flatnonzero(values == "")
    if len(blank):
        raise DataError(
            f"{len(blank):,} of {len(values):,} training images have no time in data.time_column = {column!r}"
            f' (the first is {ids[blank[0]]!r}): fill them in, or set folds.kind = "grouped".'
        )
    numbers = pd.to_numeric(values, errors="coerce")
    dates = pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True)
    zoned = values.str.contains(ZONE)
    forms = np.select([np.isfinite(numbers), dates.isna(), zoned], [NUMBER, NEITHER, ZONED], DATE)
    wrong = np.flatnonzero((forms == NEITHER) | (forms != forms[0]))
    if len(wrong):
        row = int(wrong[0])
        other = f", that of {ids[0]!r} {forms[0]} ({values[0]!r})" if row and forms[0] != NEITHER else ""
        raise DataError(
            f"data.time_column = {column!r}: the time of {ids[row]!r} is {forms[row]} ({values[row]!r})"
            f"{other}. {WANTED}"
        )
    if forms[0] == NUMBER:
        return numbers.to_numpy()
    return dates.dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
