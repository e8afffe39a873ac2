"""What the sample competition holds: counts, individuals, twins, wrong labels, ids."""

from collections import Counter

import numpy as np
import pytest

from pipeline.dataset.drawing.species import draw_species, species_names
from pipeline.dataset.sample_plan import TAIL, plan_competition


def test_ids_do_not_reveal_the_class():
    rows = plan_competition(12, 700, seed=0)
    species = np.array([row.species for row in rows])
    neighbours = float(np.mean(species[1:] == species[:-1]))
    chance = sum((count / 700) ** 2 for count in Counter(species.tolist()).values())
    assert abs(neighbours - chance) < 0.05


def test_default_counts_have_a_long_tail_and_two_thirds_train():
    rows = plan_competition(12, 700, seed=0)
    train = Counter(row.species for row in rows if row.split == "train")
    test = Counter(row.species for row in rows if row.split == "test")
    assert train.total() == 467
    assert test.total() == 233
    assert max(train.values()) / min(train.values()) == pytest.approx(TAIL, rel=0.05)
    assert min(train.values()) in (8, 9, 10)
    assert set(train) == set(test) == set(range(12))


def test_individuals_stay_in_one_split():
    rows = plan_competition(12, 700, seed=0)
    individuals = {
        split: {(row.species, row.individual) for row in rows if row.split == split}
        for split in ("train", "test")
    }
    assert not individuals["train"] & individuals["test"]


def test_groups_are_the_individuals_with_several_images():
    rows = plan_competition(12, 700, seed=0)
    shown = Counter((row.species, row.individual) for row in rows)
    members = Counter(row.group for row in rows if row.group)
    assert {row.group != "" for row in rows if shown[row.species, row.individual] > 1} == {True}
    assert {row.group for row in rows if shown[row.species, row.individual] == 1} == {""}
    assert min(members.values()) >= 2
    assert len({(row.species, row.individual, row.group) for row in rows if row.group}) == len(members)


@pytest.mark.parametrize(("kind", "share"), [("near-duplicate", 0.06), ("wrong-label", 0.02)])
def test_shares_of_train(kind, share):
    train = [row for row in plan_competition(12, 700, seed=0) if row.split == "train"]
    assert sum(row.kind == kind for row in train) == round(share * len(train))


def test_a_hundred_classes_are_planned():
    rows = plan_competition(102, 2000, seed=0)
    assert {row.species for row in rows if row.split == "test"} == set(range(102))
    assert len(draw_species(102, seed=0)) == len(set(species_names(102, seed=0))) == 102
