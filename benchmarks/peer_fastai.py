"""All folds as fastai's users train them; benchmarks.peers calls it in an environment that has fastai.

python benchmarks/peer_fastai.py ROWS.csv --weights FILE --epochs 6 --output PROBS.csv

ROWS.csv has a row an image: file, label, fold. The recipe is fastai's own: `fine_tune`, its first epoch for
the head alone, discriminative rates, one-cycle, `aug_transforms` on the batch. It imports nothing of the
pipeline.
"""

import argparse
import os
from pathlib import Path

import pandas as pd
import torch
from fastai.vision.all import (
    F1Score,
    ImageDataLoaders,
    Normalize,
    Resize,
    aug_transforms,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file

LARGER = 1.2  # what an image is resized to before the batch's transforms, / the training size


def main() -> None:
    """Train each fold and write its held-out rows' probabilities."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", required=True, help="safetensors under timm's names")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = pd.read_csv(options.rows, dtype={"file": str, "label": str}, keep_default_na=False)
    parts = [predict_fold(rows, fold, options) for fold in sorted(rows["fold"].unique())]
    pd.concat(parts).to_csv(options.output, index=False)


def predict_fold(rows: pd.DataFrame, fold: int, options: argparse.Namespace) -> pd.DataFrame:
    """Train on the other folds; return a row an image of this one: its file's name, a column a class."""
    set_seed(options.seed, reproducible=True)
    loaders = ImageDataLoaders.from_df(
        rows.assign(held=rows["fold"] == fold),
        path="/",
        fn_col="file",
        label_col="label",
        valid_col="held",
        item_tfms=Resize(round(LARGER * options.size)),
        batch_tfms=[
            *aug_transforms(size=options.size),
            Normalize.from_stats([0.5] * 3, [0.5] * 3, cuda=False),
        ],
        bs=options.batch,
        num_workers=os.cpu_count(),
    )
    learner = vision_learner(loaders, options.model, pretrained=False, metrics=F1Score(average="macro"))
    state = {
        name: value for name, value in load_file(options.weights).items() if not name.startswith("classifier")
    }
    learner.model[0].model.load_state_dict(state, strict=True)
    with learner.no_bar():
        learner.fine_tune(options.epochs - 1, freeze_epochs=1)
        probs, _ = learner.get_preds()
    files = [Path(name).name for name in loaders.valid.items["file"]]
    return pd.DataFrame(torch.as_tensor(probs).numpy(), columns=list(loaders.vocab)).assign(file=files)


if __name__ == "__main__":
    main()
