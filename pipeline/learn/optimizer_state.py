"""An optimizer's state as tensors and JSON values, and back: any of timm's, bit for bit.

torch's own `load_state_dict` would put tensors into another memory format and dtype than they had.
"""

from typing import Any

import torch

# of a group: made anew, or set at each step
FIXED = ("params", "lr", "initial_lr", "lr_scale", "param_names")


def pack(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors by a path, and JSON values that say where they belong.

    The paths are those of the parameters by number, in the order of the groups.
    """
    tensors: dict[str, torch.Tensor] = {}
    parameters = _parameters(optimizer)
    state = {
        str(i): _packed(optimizer.state[parameter], str(i), tensors, parameter)
        for i, parameter in enumerate(parameters)
        if parameter in optimizer.state
    }
    groups = [
        {
            name: _packed(value, f"group{i}.{name}", tensors, group["params"][0])
            for name, value in group.items()
            if name not in FIXED and isinstance(value, bool | int | float | torch.Tensor)
        }
        for i, group in enumerate(optimizer.param_groups)
    ]
    return tensors, {"state": state, "groups": groups}


def unpack(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], content: dict[str, Any]
) -> None:
    """Give a fresh optimizer of the same parameters the state that was packed."""
    for i, parameter in enumerate(_parameters(optimizer)):
        if str(i) in content["state"]:
            optimizer.state[parameter] = _unpacked(content["state"][str(i)], tensors, parameter)
    for group, values in zip(optimizer.param_groups, content["groups"], strict=True):
        group.update({name: _unpacked(item, tensors, group["params"][0]) for name, item in values.items()})


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _packed(value: Any, path: str, tensors: dict[str, torch.Tensor], parameter: torch.Tensor) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {"tensor": path, "beside": value.device == parameter.device}
    if isinstance(value, dict):
        return {
            "dict": {
                name: _packed(item, f"{path}.{name}", tensors, parameter) for name, item in value.items()
            }
        }
    if isinstance(value, list | tuple):
        return {"list": [_packed(item, f"{path}.{i}", tensors, parameter) for i, item in enumerate(value)]}
    return {"value": value}


def _unpacked(content: dict[str, Any], tensors: dict[str, torch.Tensor], parameter: torch.Tensor) -> Any:
    ((kind, value),) = ((kind, value) for kind, value in content.items() if kind != "beside")
    if kind == "tensor":
        tensor = tensors[value]
        if tensor.shape == parameter.shape and tensor.ndim:
            # In the parameter's own memory format: a fused optimizer walks all of them in one order.
            return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        return tensor.to(parameter.device) if content["beside"] else tensor
    if kind == "dict":
        return {name: _unpacked(item, tensors, parameter) for name, item in value.items()}
    if kind == "list":
        return [_unpacked(item, tensors, parameter) for item in value]
    return value
