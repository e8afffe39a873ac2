"""What a drawn species is: a body plan, a name and proportions; what an individual of it looks like."""

import colorsys
from dataclasses import dataclass, fields, replace

import numpy as np

from pipeline.randomness import generator

Colour = tuple[int, int, int]  # RGB, 0 to 255
Hsv = tuple[float, float, float]  # hue, saturation, value, 0 to 1

PLAN_NAMES = (
    "beetle", "butterfly", "fly", "bug", "grasshopper", "ladybird",
    "moth", "wasp", "caterpillar", "dragonfly", "ant",
)  # fmt: skip
MARKINGS = ("spots", "bands", "stripes")
# Hue, saturation and value of what insects are painted with; few enough that species must share them.
BODY_COLOURS = (
    (0.07, 0.65, 0.42), (0.62, 0.25, 0.20), (0.04, 0.80, 0.68),
    (0.12, 0.70, 0.75), (0.26, 0.55, 0.46), (0.54, 0.50, 0.40),
)  # fmt: skip
PALE_MARKS = ((0.13, 0.30, 0.92), (0.12, 0.75, 0.90), (0.06, 0.75, 0.85))
DARK_MARKS = ((0.60, 0.20, 0.12), (0.03, 0.70, 0.30), (0.66, 0.35, 0.25))
STARTS = (
    "Ara", "Bel", "Cor", "Dri", "Elo", "Fal", "Gry", "Hel", "Iru",
    "Lam", "Mel", "Nov", "Ost", "Pla", "Sit", "Ver",
)  # fmt: skip
ENDS = (
    "bius", "cera", "dora", "filus", "genes", "lytta", "mera", "nops",
    "ptera", "ria", "stes", "thrips", "xena",
)  # fmt: skip
EPITHETS = (
    "agilis", "brevis", "caudata", "dubia", "elegans", "fulva", "gracilis", "hirta", "lata",
    "minor", "nitida", "obscura", "picta", "rustica", "silvestris", "tarda", "umbrata", "vagans",
)  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """One look: proportions from 0 to 1, which `insects.draw_insect` turns into geometry, and two colours.

    `plan` is one of PLAN_NAMES, `marking` one of MARKINGS; `hsv` is of the body, `mark_hsv` of its marks.
    """

    plan: str
    marking: str
    hsv: Hsv = BODY_COLOURS[0]
    mark_hsv: Hsv = PALE_MARKS[0]
    slender: float = 0.5
    head: float = 0.5
    thorax: float = 0.5
    legs: float = 0.5
    antennae: float = 0.5
    wing_length: float = 0.5
    wing_breadth: float = 0.5
    wing_sweep: float = 0.5
    hind_wing: float = 0.5
    mark_count: float = 0.5
    mark_size: float = 0.5
    border: float = 0.5

    @property
    def body(self) -> Colour:
        """The body's colour."""
        return rgb(self.hsv)

    @property
    def mark(self) -> Colour:
        """The colour of the marks."""
        return rgb(self.mark_hsv)


PROPORTIONS = tuple(field.name for field in fields(Traits) if field.type is float)
SPREAD = 0.125  # an individual's standard deviation; n species of one plan lie 1 / n apart
HSV_SPREAD = (0.035, 0.12, 0.08)
STRANGE_COLOUR = 0.25  # the share of individuals in the colours of another species


def rgb(colour: Hsv) -> Colour:
    """Turn hue, saturation and value into RGB; the hue wraps, the rest is clipped.

    >>> rgb((0.0, 1.0, 1.0)), rgb((1.0, 1.0, 2.0))
    ((255, 0, 0), (255, 0, 0))
    """
    hue, saturation, value = colour
    channels = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    red, green, blue = (round(255 * channel) for channel in channels)
    return red, green, blue


def darker(colour: Colour, factor: float) -> Colour:
    """Scale a colour's channels.

    >>> darker((100, 200, 40), 0.5)
    (50, 100, 20)
    """
    red, green, blue = (min(255, max(0, round(factor * channel))) for channel in colour)
    return red, green, blue


def species_names(classes: int, seed: int) -> list[str]:
    """Invent `classes` different two-word names, in alphabetical order.

    >>> names = species_names(102, seed=0)
    >>> len(set(names)), names == sorted(names)
    (102, True)
    """
    genera = len(STARTS) * len(ENDS)
    if not 1 <= classes <= genera * len(EPITHETS):
        raise ValueError(f"{classes} classes: there are names for 1 to {genera * len(EPITHETS)}")
    rng = generator(seed, "species names")
    order, epithets = rng.permutation(genera), rng.integers(len(EPITHETS), size=genera)
    names = []
    for number in range(classes):
        start, end = divmod(int(order[number % genera]), len(ENDS))
        epithet = (epithets[number % genera] + number // genera) % len(EPITHETS)
        names.append(f"{STARTS[start]}{ENDS[end]} {EPITHETS[epithet]}")
    return sorted(names)


def draw_species(classes: int, seed: int) -> list[Traits]:
    """Draw the mean look of every species, in the order of `species_names`.

    Two or three species share a body plan (more, once all plans are used). Within a plan every proportion
    is spread evenly over its range in an order of its own, so that species differ in several weak cues.
    """
    plans = min(len(PLAN_NAMES), max(1, round(classes / 2.5)))
    order = generator(seed, "species order").permutation(classes).tolist()
    species: dict[int, Traits] = {}
    for number, plan in enumerate(PLAN_NAMES[:plans]):
        members = order[number::plans]
        rng = generator(seed, "species", plan)
        ranks = np.argsort(rng.random((len(PROPORTIONS), len(members))), axis=1)
        markings, colours = rng.permutation(MARKINGS).tolist(), rng.permutation(len(BODY_COLOURS)).tolist()
        for position, index in enumerate(members):
            levels = ((ranks[:, position] + 0.5) / len(members)).tolist()
            marking = markings[position // 2 % len(MARKINGS)]  # pairs share it: it doesn't tell them apart
            look = Traits(plan, marking, **dict(zip(PROPORTIONS, levels, strict=True)))
            species[index] = painted(look, colours[position % len(colours)], int(rng.integers(3)))
    return [species[index] for index in range(classes)]


def painted(look: Traits, body: int, mark: int) -> Traits:
    """Give a look the colour `BODY_COLOURS[body]` with marks that stand out from it."""
    hsv = BODY_COLOURS[body]
    return replace(look, hsv=hsv, mark_hsv=(DARK_MARKS if hsv[2] > 0.45 else PALE_MARKS)[mark])


def individual_of(species: Traits, rng: np.random.Generator) -> Traits:
    """Draw one individual's look: every number jittered, now and then in the colours of other species."""
    means = np.array([getattr(species, name) for name in PROPORTIONS])
    values = np.clip(rng.normal(means, SPREAD), -0.1, 1.1).tolist()
    look = species
    if rng.random() < STRANGE_COLOUR:
        look = painted(look, int(rng.integers(len(BODY_COLOURS))), int(rng.integers(3)))
    hsv, mark_hsv = (tuple(rng.normal(mean, HSV_SPREAD).tolist()) for mean in (look.hsv, look.mark_hsv))
    return replace(look, hsv=hsv, mark_hsv=mark_hsv, **dict(zip(PROPORTIONS, values, strict=True)))
