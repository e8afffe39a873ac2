"""What is trained when: all of a model, its last stages, or for some epochs the classifier alone."""

from typing import Any

import timm.models
from torch import nn

from pipeline.config import Train, retrains
from pipeline.errors import UsageError


def set_trained(model: nn.Module, train: Train, epoch: int) -> None:
    """Put the model into training mode for an epoch, what isn't trained then into evaluation mode.

    Parameters that are frozen need no gradient; BatchNorms and dropouts among them stay as they are in
    prediction. Raises UsageError for more train_stages than the model has.
    """
    names = trained_names(model, train, epoch)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    model.train()
    for module in model.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def trained_names(model: Any, train: Train, epoch: int) -> set[str]:
    """Return the names of the parameters that an epoch trains.

    Stages are timm's groups of layers, coarse, the classifier and what else comes last being the last one.
    """
    if epoch < train.freeze_epochs or retrains(train, epoch):
        return classifier_names(model)
    if not train.train_stages:
        return {name for name, _ in model.named_parameters()}
    groups = timm.models.group_parameters(model, model.group_matcher(coarse=True))
    stages = [groups[key] for key in sorted(groups)]
    if train.train_stages > len(stages):
        raise UsageError(
            f"train.train_stages = {train.train_stages}, but the model has {len(stages)} stages "
            "(0 trains all of them)."
        )
    return {name for stage in stages[-train.train_stages :] for name in stage}


def classifier_names(model: Any) -> set[str]:
    """Return the names of the classifier's parameters; a distilled model has two classifiers."""
    found = model.get_classifier()
    parts = found if isinstance(found, tuple | list) else (found,)
    own = {id(parameter) for part in parts for parameter in part.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}
