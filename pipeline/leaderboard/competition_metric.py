"""The metric that the competition scores with."""

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.score.metrics import Metric, find_metric


def competition_metric(config: Config) -> Metric:
    """Return the metric; raises UsageError, with the nearest name, for one that isn't known."""
    try:
        return find_metric(config.data.metric)
    except ValueError as error:
        raise UsageError(f"data.metric: {error}.") from error
