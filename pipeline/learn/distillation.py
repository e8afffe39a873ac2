"""The loss of a student: part the labels', part the probabilities' of its teacher (soft targets).

After Hinton et al. 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531).
"""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.class_balance import power_at
from pipeline.config import Train
from pipeline.learn.losses import Loss


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher believes of rows int [n], positions in the cache's table: probs float32 [n, C].

    `power` is that of the classes' shares that its probs believe in, `digest` the sha256 of its predictions.
    """

    rows: np.ndarray
    probs: np.ndarray
    power: float
    digest: str

    def places(self, length: int) -> np.ndarray:
        """Return where each row of a table stands in `rows`, int64 [length]; −1 for one that doesn't."""
        found = np.full(length, -1)
        found[self.rows] = np.arange(len(self.rows))
        return found


def student_loss(
    own: Loss,
    soft: SoftTargets,
    targets: np.ndarray,
    counts: np.ndarray,
    train: Train,
    epoch: int,
    device: str,
) -> Loss:
    """Make a student's loss in an epoch, a function of logits float [B, C] and places int64 [B]: float32 [B].

    Places are of rows in `soft`, whose classes are `targets` int [n], −1 where there is no label. A labelled
    row has (1 − share) · `own` loss + share · T² · cross-entropy of the teacher's probs and the student's,
    both of logits / T; share and T are train.teacher_share and teacher_temperature. A row without a label has
    the second alone. The teacher's probs are brought to the classes' shares that the student's loss believes
    in, those of counts int [C] labelled rows to a power (as in score.prior.restore_shares).
    """
    seen, temperature = np.maximum(counts, 1), train.teacher_temperature
    shares = np.where(targets < 0, 1.0, train.teacher_share).astype(np.float32)
    leaning = (power_at(train, epoch) - soft.power) * np.log(seen / seen.sum())
    arrays = (soft.probs, np.maximum(targets, 0), shares, leaning.astype(np.float32))
    probs, labels, share_of, offsets = (torch.from_numpy(array).to(device) for array in arrays)

    def loss(logits: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        log_probs = (logits.float() / temperature).log_softmax(1)
        believed = ((probs[places].log() + offsets) / temperature).softmax(1)
        taught = -(temperature**2) * (believed * log_probs).sum(1)
        share = share_of[places]
        return (1 - share) * own(logits, labels[places]) + share * taught

    return loss
