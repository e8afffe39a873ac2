"""Says which members' recipes were found by a search, whose folds' scores flatter."""

from collections.abc import Mapping
from typing import Any

from pipeline.artifacts import manifest, paths
from pipeline.config import Config
from pipeline.page.values import score, written


def tuned(config: Config, folds_digest: str) -> list[str]:
    """Return a sentence for each search on these folds that found the recipe of a member."""
    records = [manifest.read_json(path) or {} for path in paths.tune_records(config)]
    return [
        _sentence(member.name, record)
        for member in (config.members if records and folds_digest else ())
        for record in records
        if record.get("recipe") == paths.recipe_digest(member, folds_digest)
    ]


def _sentence(name: str, record: Mapping[str, Any]) -> str:
    folds = record.get("folds")
    alone = isinstance(folds, list) and len(folds) == 1
    searched = f"fold {folds[0]}" if isinstance(folds, list) and alone else "all folds"
    flatters = "that fold's OOF score flatters" if alone else "their OOF scores flatter"
    return (
        f"{name}'s recipe is the best of {written(record.get('trials'), ',.0f')} trials on {searched} "
        f"({record.get('metric')} {score(record.get('score'))}): {flatters}, and so does any blend's with it."
    )
