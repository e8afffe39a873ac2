"""The parts that a drawn insect is made of: lobes with marks on them, legs, antennae, eyes."""

from typing import NamedTuple

import cv2
import numpy as np

from pipeline.dataset.drawing.species import Colour, Traits

FRACTION_BITS = 4  # OpenCV takes polygons in fixed point: sixteenths of a pixel


class Canvas(NamedTuple):
    """What is drawn on: RGB uint8 [H, W, 3], coverage uint8 [H, W], and body-to-pixel float [2, 3].

    Body coordinates: x from -1 (tail) to 1 (head), y across (from above) or down (`side`, from the side).
    """

    paint: np.ndarray
    coverage: np.ndarray
    place: np.ndarray
    side: bool

    @property
    def scale(self) -> float:
        """Pixels a body unit, along the body."""
        return float(np.hypot(*self.place[:, 0]))


class Lobe(NamedTuple):
    """A shape along an axis: `origin` float [2], `angle` in radians, half-widths float [n] on both sides."""

    origin: np.ndarray
    angle: float
    length: float
    left: np.ndarray
    right: np.ndarray

    def shrunk(self, along: float, across: float) -> "Lobe":
        """Return a smaller lobe on the same origin and axis."""
        return self._replace(length=self.length * along, left=self.left * across, right=self.right * across)


def lobe(
    origin: np.ndarray,
    angle: float,
    length: float,
    width: float,
    *,
    blunt: float = 2.0,
    taper: float = 0.0,
    skew: float = 0.0,
) -> Lobe:
    """Make a lobe; `width` is the half-width, `blunt` above 2 is boxier, `taper` above 0 is broader far out.

    >>> float(lobe(np.zeros(2), 0.0, 1.0, 0.3).left.max().round(2))
    0.3
    """
    along = np.linspace(-1.0, 1.0, 25)
    profile = width * np.sqrt(1.0 - np.abs(along) ** blunt) * (1.0 + taper * along)
    return Lobe(origin, angle, length, profile * (1 + skew), profile * (1 - skew))


def mirrored(part: Lobe) -> Lobe:
    """Return the same lobe on the other side of the body."""
    return Lobe(part.origin * (1, -1), -part.angle, part.length, part.right, part.left)


def point(part: Lobe, along: float, across: float) -> np.ndarray:
    """Return the body coordinates, float [2], of a place on a lobe: `along` 0 to 1, `across` -1 to 1."""
    return strip(part, (along, along), (across, across))[0]


def strip(
    part: Lobe, along: tuple[float, float] = (0, 1), across: tuple[float, float] = (-1, 1)
) -> np.ndarray:
    """Return the outline, float [2n, 2], of the piece of a lobe between two cuts across and two along it.

    >>> strip(lobe(np.zeros(2), 0.0, 1.0, 0.3), (0.2, 0.4)).shape
    (50, 2)
    """
    steps = np.linspace(0.0, 1.0, len(part.left))
    x = np.linspace(*along, len(steps))
    left, right = np.interp(x, steps, part.left), np.interp(x, steps, part.right)
    low, high = (np.stack([x * part.length, (left if y > 0 else right) * y], 1) for y in across)
    cos, sin = np.cos(part.angle), np.sin(part.angle)
    return part.origin + np.concatenate([low, high[::-1]]) @ np.array([[cos, sin], [-sin, cos]])


def disc(centre: np.ndarray, radius: float, stretch: float = 1.0) -> np.ndarray:
    """Return the outline, float [20, 2], of a spot."""
    turn = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
    return centre + radius * np.stack([stretch * np.cos(turn), np.sin(turn)], 1)


def in_pixels(canvas: Canvas, points: np.ndarray) -> np.ndarray:
    placed = points @ canvas.place[:, :2].T + canvas.place[:, 2]
    return np.round(placed * (1 << FRACTION_BITS)).astype(np.int32)


def fill(canvas: Canvas, outline: np.ndarray, colour: Colour, opacity: int = 255) -> None:
    """Fill a polygon, float [n, 2] in body coordinates."""
    pixels = in_pixels(canvas, outline)
    cv2.fillPoly(canvas.paint, [pixels], colour, cv2.LINE_AA, FRACTION_BITS)
    cv2.fillPoly(canvas.coverage, [pixels], opacity, cv2.LINE_AA, FRACTION_BITS)


def veil(canvas: Canvas, outline: np.ndarray, colour: Colour, strength: float) -> None:
    """Lay a thin film over what is painted already, without hiding it."""
    film = canvas.paint.copy()
    cv2.fillPoly(film, [in_pixels(canvas, outline)], colour, cv2.LINE_AA, FRACTION_BITS)
    cv2.addWeighted(film, strength, canvas.paint, 1 - strength, 0, canvas.paint)


def stroke(canvas: Canvas, path: np.ndarray, width: float, colour: Colour) -> None:
    """Draw a line of `width` body units through points, float [n, 2]."""
    pixels, thickness = in_pixels(canvas, path), max(1, round(width * canvas.scale))
    cv2.polylines(canvas.paint, [pixels], False, colour, thickness, cv2.LINE_AA, FRACTION_BITS)
    cv2.polylines(canvas.coverage, [pixels], False, 255, thickness, cv2.LINE_AA, FRACTION_BITS)


def paint_marks(canvas: Canvas, part: Lobe, traits: Traits, most: int) -> None:
    """Paint the traits' spots, bands or stripes onto a lobe: one to `most` of them."""
    count, size = max(1, 1 + round((most - 1) * traits.mark_count)), traits.mark_size
    rows = (count + 1) // 2
    for number in range(count):
        share = (number + 0.5) / count
        if traits.marking == "spots":
            single = count % 2 == 1 and number == count - 1
            across = 0.0 if single else (-0.52, 0.52)[number % 2]
            radius = (0.10 + 0.16 * size) * min(part.length / rows, 2.2 * float(part.left.max()))
            centre = point(part, 0.14 + 0.72 * (number // 2 + 0.5) / rows, across)
            outline = disc(centre, radius, 1.15)
        elif traits.marking == "bands":
            middle, half = 0.10 + 0.82 * share, (0.12 + 0.24 * size) / count
            outline = strip(part, (middle - half, middle + half))
        else:
            middle, half = -0.9 + 1.8 * share, (0.14 + 0.40 * size) / count
            outline = strip(part, (0.06, 0.94), (middle - half, middle + half))
        fill(canvas, outline, traits.mark)


def paint_legs(
    canvas: Canvas,
    hips: np.ndarray,
    *,
    spread: float,
    length: float,
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    """Draw three pairs of bent legs from `hips`, float [3, 2], hind legs first; `spread` sets them apart."""
    width = 0.028 + 0.012 * (1 - length)
    for pair, (x, y) in enumerate(hips):
        for mirror in (1.0, -1.0):
            lean = (-0.75, -0.1, 0.7)[pair] + rng.normal(0.0, 0.16)
            reach = length * (1.15, 0.85, 0.8)[pair]
            if canvas.side:
                knee = (x + 0.5 * lean * reach + 0.05 * mirror, y + 0.02 - 0.05 * mirror)
                ankle = (x + lean * reach + 0.1 * mirror, y + spread + 0.55 * reach)
                thigh, shin = [(x, y), knee, ankle], [ankle, (ankle[0] + 0.07, ankle[1])]
            else:
                knee = (x + 0.35 * lean * reach, mirror * (y + spread + 0.45 * reach))
                ankle = (x + lean * reach, mirror * (y + spread + 0.85 * reach))
                thigh, shin = [(x, mirror * y), knee], [knee, ankle]
            stroke(canvas, np.array(thigh), width, colour)
            stroke(canvas, np.array(shin), 0.6 * width, colour)


def paint_antennae(
    canvas: Canvas, base: np.ndarray, *, length: float, club: float, colour: Colour, rng: np.random.Generator
) -> None:
    """Draw two bent antennae from `base`, float [2]; `club` is the radius of the knob at their ends."""
    for way in (-0.75, -1.05) if canvas.side else (1.0, -1.0):
        steps = np.linspace(0.0, 1.0, 8)[:, None]
        bend = way * (0.5 + rng.normal(0.0, 0.12) + 0.5 * steps)
        path = base + length * steps * np.concatenate([np.cos(bend), np.sin(bend)], 1)
        stroke(canvas, path, 0.018, colour)
        if club > 0.012:
            fill(canvas, disc(path[-1], club), colour)
