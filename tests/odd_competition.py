"""A competition of files as people have them: odd, torn, copied, mislabelled; read by the real `prepare`."""

import argparse
import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from pipeline import prepare
from pipeline.artifacts import paths, writer
from pipeline.config import Config, resolve
from pipeline.randomness import generator

HOSTILE = "<img src=x onerror=alert(1)>"
CLASSES = ("ant", "bee", HOSTILE)
COUNTS = (12, 6, 3)
# Each id's file is odd in its own way; a0 and b0 show one picture, and so do a1 and a2, a3 and t0, a4 and t1.
NOTES = {"a5": "EXIF orientation 6", "a6": "CMYK", "a7": "PNG named .jpg", "a8": "several frames"}


def configure(folder: Path) -> Config:
    """Return a configuration whose folders are all in `folder`."""
    return resolve(
        {
            "data": {"name": "odd", "unreadable": "skip"},
            "cache": {"workers": 1, "short_side": 64},
            "folds": {"count": 2},
            "paths": {name: str(folder / name) for name in ("data", "runs", "folds", "submissions")},
            "members": [{"name": "small", "model": "resnet18", "train": {"size": 48}}],
        },
        {},
        "test",
    )


def write(config: Config) -> pd.DataFrame:
    """Draw the competition and prepare it; returns the audit table."""
    labels = {
        f"{letter}{i}": name for letter, name, n in zip("abc", CLASSES, COUNTS, strict=True) for i in range(n)
    }
    pictures = {name: picture(name) for name in (*labels, "t0", "t1", "t2")}
    pictures |= {"a2": pictures["a1"][:, ::-1], "b0": pictures["a0"], "t0": pictures["a3"]}
    files = {name: encoded(pixels, "JPEG", quality=92) for name, pixels in pictures.items()}
    files["t1"] = encoded(pictures["a4"], "JPEG", quality=60)
    files["a5"] = encoded(pictures["a5"], "JPEG", exif=quarter_turn())
    files["a6"] = encoded(pictures["a6"], "JPEG", mode="CMYK")
    files["a7"] = encoded(pictures["a7"], "PNG")
    files["a8"] = animated(pictures["a8"])
    files["a9"], files["b5"] = files["a9"][:900], b"<html>not found</html>"
    root = paths.data_root(config)
    names = {name: "a8.gif" if name == "a8" else f"{name}.jpg" for name in files}
    writer.publish_folder(root / "images", [(names[name], content) for name, content in files.items()])
    train = pd.DataFrame({"id": [names[name] for name in labels], "label": list(labels.values())})
    writer.publish_bytes(root / "train.csv", train.to_csv(index=False).encode())
    test = pd.DataFrame({"id": ["t0.jpg", "t1.jpg", "t2.jpg"], "label": "ant"})
    writer.publish_bytes(root / "sample_submission.csv", test.to_csv(index=False).encode())
    prepare.run(config, argparse.Namespace(verify=False))
    return pd.read_parquet(paths.cache(config) / "images.parquet")


def picture(name: str) -> np.ndarray:
    """Return soft coloured blobs, uint8 [96, 128, 3], that no other name has."""
    coarse = generator(0, "blobs", name).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)


def encoded(pixels: np.ndarray, form: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def animated(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(part) for part in (pixels, 255 - pixels)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def quarter_turn() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif
