"""What a drawn species is: a body plan, a name and proportions; what an individual of it looks like."""

import colorsys
from dataclasses import dataclass, fields, replace

import numpy as np

from pipeline.randomness import generator

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
STARTS = ("Ara", "Bel", "Cor", "Dri", "Elo", "Fal", "Gry", "Hel", "Iru", "Lam", "Mel", "Nov", "Ost", "Pla", "Sit", "Ver")
ENDS = ("bius", "cera", "dora", "filus", "genes", "lytta", "mera", "nops", "ptera", "ria", "stes", "thrips", "xena")
EPITHETS = (
    "agilis", "brevis", "caudata", "dubia", "elegans", "fulva", "gracilis", "hirta", "lata", "minor", "nitida",
    "obscura", "picta", "rustica", "silvestris", "tarda", "umbrata", "vagans",
)  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """One look: the numbers run from 0 to 1 and are turned into geometry by `insects.draw_insect`.

    `marking` is one of MARKINGS, `body` and `mark` are RGB colours with channels from 0 to 255.
    """

    plan: str
    marking: str
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
    hue: float = 0.0
    saturation: float = 0.5
    value: float = 0.5
    mark_hue: float = 0.0
    mark_saturation: float = 0.5
    mark_value: float = 0.5

    @property
    def body(self) -> tuple[int, int, int]:
        return rgb(self.hue, self.saturation, self.value)

    @property
    def mark(self) -> tuple[int, int, int]:
        return rgb(self.mark_hue, self.mark_saturation, self.mark_value)


PROPORTIONS = tuple(field.name for field in fields(Traits) if field.default == 0.5)[:12]
SPREAD = 0.10  # an individual's standard deviation, where species of one plan lie 1 / (their number) apart
HUE_SPREAD = 0.035
STRANGE_COLOUR = 0.2  # the share of individuals in the colours of another species


def rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    """Turn a colour into RGB channels from 0 to 255; the hue wraps, the rest is clipped.

    >>> rgb(0.0, 1.0, 1.0), rgb(1.0, 1.0, 2.0)
    ((255, 0, 0), (255, 0, 0))
    """
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def species_names(classes: int, seed: int) -> list[str]:
    """Invent `classes` different two-word names, in alphabetical order.

    >>> names = species_names(102, seed=0)
    >>> len(set(names)), names == sorted(names)
    (102, True)
    """
    total = len(STARTS) * len(ENDS) * len(EPITHETS)
    if not 1 <= classes <= total:
        raise ValueError(f"{classes} classes: there are names for 1 to {total}")
    picks = generator(seed, "species names").choice(total, classes, replace=False)
    words = [(pick % len(STARTS), pick // len(STARTS) % len(ENDS), pick // len(STARTS) // len(ENDS)) for pick in picks]
    return sorted(f"{STARTS[a]}{ENDS[b]} {EPITHETS[c]}" for a, b, c in words)


def draw_species(classes: int, seed: int) -> list[Traits]:
    """Draw the mean look of every species, in the order of `species_names`.

    Two or three species share a body plan (more, once all plans are used). Within a plan every proportion is
    spread evenly over its range in an order of its own, so that species differ in several weak cues.
    """
    plans = min(len(PLAN_NAMES), max(1, round(classes / 2.5)))
    order = generator(seed, "species order").permutation(classes)
    species: list[Traits | None] = [None] * classes
    for number, plan in enumerate(PLAN_NAMES[:plans]):
        members = order[number::plans]
        rng = generator(seed, "species", plan)
        levels = (np.argsort(rng.random((len(PROPORTIONS), len(members))), axis=1) + 0.5) / len(members)
        marking, colours = rng.permutation(len(MARKINGS)), rng.permutation(len(BODY_COLOURS))
        for position, index in enumerate(members):
            look = Traits(plan, MARKINGS[marking[position // 2 % len(MARKINGS)]])
            look = replace(look, **dict(zip(PROPORTIONS, levels[:, position].tolist(), strict=True)))
            species[index] = painted(look, int(colours[position % len(colours)]), int(rng.integers(3)))
    return [look for look in species if look is not None]


def painted(look: Traits, body: int, mark: int) -> Traits:
    """Give a look the colour `BODY_COLOURS[body]` with marks that stand out from it."""
    hue, saturation, value = BODY_COLOURS[body]
    marks = DARK_MARKS if value > 0.45 else PALE_MARKS
    mark_hue, mark_saturation, mark_value = marks[mark]
    return replace(
        look, hue=hue, saturation=saturation, value=value,
        mark_hue=mark_hue, mark_saturation=mark_saturation, mark_value=mark_value,
    )  # fmt: skip


def individual_of(species: Traits, rng: np.random.Generator) -> Traits:
    """Draw one individual's look: every number jittered, now and then in the colours of other species."""
    shift = rng.normal(0.0, SPREAD, len(PROPORTIONS))
    values = {name: float(getattr(species, name) + d) for name, d in zip(PROPORTIONS, shift, strict=True)}
    look = replace(species, **{name: min(max(value, -0.1), 1.1) for name, value in values.items()})
    if rng.random() < STRANGE_COLOUR:
        look = painted(look, int(rng.integers(len(BODY_COLOURS))), int(rng.integers(3)))
    shade = rng.normal(0.0, 1.0, 6)
    return replace(
        look,
        hue=look.hue + HUE_SPREAD * shade[0],
        saturation=look.saturation + 0.12 * shade[1],
        value=look.value + 0.08 * shade[2],
        mark_hue=look.mark_hue + HUE_SPREAD * shade[3],
        mark_saturation=look.mark_saturation + 0.12 * shade[4],
        mark_value=look.mark_value + 0.08 * shade[5],
    )
