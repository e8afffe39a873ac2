import pytest

from pipeline.config import resolve
from pipeline.dataset.survey import short_side


@pytest.mark.parametrize(
    ("first", "second", "side"),
    [
        ({"size": 64}, {"size": 128}, 128),
        ({"size": 64}, {"size": 64, "test_size": 160}, 160),
        ({"size": 64}, {"size": 64, "test_size": 100, "test_crop": 0.875}, 115),
        ({"size": 200, "test_size": 64}, {"size": 64}, 200),
    ],
)
def test_short_side_is_what_the_largest_member_needs(first, second, side):
    members = [{"name": "a", "model": "m", "train": first}, {"name": "b", "model": "m", "train": second}]
    raw = {"data": {"name": "x"}, "members": members}
    assert short_side(resolve(raw, {}, "test")) == side
    assert short_side(resolve({**raw, "cache": {"short_side": 99}}, {}, "test")) == 99
