"""A classifier that is trained anew on balanced classes once the features are learnt (cRT).

After Kang et al. 2020, "Decoupling representation and classifier for long-tailed recognition"
(arXiv:1910.09217).
"""

import torch
from torch import nn

from pipeline.learn.freezing import classifier_names


def classifier_start(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the classifier of a model that nothing has trained yet, by parameter names."""
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().clone() for name in sorted(classifier_names(model))}


@torch.no_grad()
def restart_classifier(
    model: nn.Module, ema: nn.Module | None, optimizer: torch.optim.Optimizer, start: dict[str, torch.Tensor]
) -> None:
    """Put classifier and optimizer's state back to their start, on averaged features if there are some."""
    if ema is not None:
        model.load_state_dict(ema.state_dict())
    parameters = dict(model.named_parameters())
    for name, value in start.items():
        parameters[name].copy_(value)
        optimizer.state.pop(parameters[name], None)
    if ema is not None:
        ema.load_state_dict(model.state_dict())
