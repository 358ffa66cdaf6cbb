"""PyTorch networks: `nn.Sequential` in memory, state dicts in files."""

import io
import os
import pickle
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet._util.optional import package
from jaxnet._util.tensors import to_bytes
from jaxnet.formats._affine import Step, dense, image_shape
from jaxnet.formats._archives import check_archive
from jaxnet.formats._order import in_one_line, in_order
from jaxnet.formats._parts import from_steps, with_spec
from jaxnet.formats._spec import Notes, Spec, with_notes
from jaxnet.formats._squashes import FOREIGN
from jaxnet.network import SIDE, Params, Squash

__all__ = ["from_state_dict", "from_torch", "load_state_dict", "save_state_dict", "to_torch"]

_INSTALL = "pip install torch"
_WRAPPERS = ("model_state_dict", "state_dict", "model")  # where checkpoints keep the state dict


def to_torch(params: Params, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid") -> Any:
    """Converts a network to PyTorch.

    Args:
        params: the network.
        squash, last_squash: as for `jaxnet.save`.

    Returns:
        A `torch.nn.Sequential` of alternating `Linear` and activation modules, in float32 on the
        CPU. It takes images of shape `(n, 784)`.

    Raises:
        TypeError, ValueError: not one network of finite floats, or an unknown squash.
        ModuleNotFoundError: PyTorch is not installed.

    Example:
        >>> import torch, jaxnet
        >>> to_torch(jaxnet.pretrained())(torch.zeros(5, 784)).shape
        torch.Size([5, 10])
    """
    torch = package("torch", _INSTALL)
    params, spec = with_spec(params, squash, last_squash)
    parts: list[Any] = []
    for (w, b), name in zip(params, spec.by_layer, strict=True):
        # PyTorch's own initialization would use its global random state.
        linear = torch.nn.utils.skip_init(torch.nn.Linear, w.shape[1], w.shape[0])
        arrays = {"weight": w, "bias": b}
        linear.load_state_dict(
            {name: torch.tensor(np.asarray(a, np.float32)) for name, a in arrays.items()}
        )
        module, options = FOREIGN[name].torch
        parts += [linear, getattr(torch.nn, module)(**options)]
    return torch.nn.Sequential(*parts)


def from_torch(model: Any, *, pixels: float | None = None) -> tuple[Params, Spec]:
    """Converts a network from PyTorch.

    Args:
        model: a `torch.nn.Sequential` of activation modules, one after each layer; a layer is
            all that is affine in evaluation mode, such as `Linear`, `BatchNorm1d`, `Dropout`
            and a small `Conv2d`.
        pixels: what the model takes for a white pixel, as for `jaxnet.load`.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: unsupported layers, or shapes that do not match.
        ModuleNotFoundError: PyTorch is not installed.

    Example:
        >>> import torch
        >>> from_torch(torch.nn.Sequential(torch.nn.Linear(784, 10), torch.nn.Sigmoid()))[1]
        Spec(sizes=(784, 10), squash='sigmoid', last_squash='sigmoid', notes={})
    """
    torch = package("torch", _INSTALL)
    if type(model) is not torch.nn.Sequential:
        raise TypeError(
            f"Expected a torch.nn.Sequential; got a {type(model).__name__}. For other modules, "
            "use from_state_dict(model.state_dict(), ...)."
        )
    steps = [*_steps(torch, model)]
    return from_steps(steps, image_shape(steps, SIDE), pixels=pixels)


def from_state_dict(
    state: Mapping[str, Any], *, squash: Squash, last_squash: Squash, declared: bool = True
) -> tuple[Params, Spec]:
    """Converts a network from the state dict of PyTorch's `Linear` modules.

    Args:
        state: the result of `model.state_dict()`, or the same in NumPy: a `weight` and a `bias`
            for each layer. Names that differ only in a number, such as `fc1.bias`, are in its
            order; others, such as fc1, fc2, out, in the one that fits their shapes.
        squash: the hidden layers' activation function, a name in `jaxnet.network.SQUASHES`;
            the arrays do not say.
        last_squash: the last layer's; `identity` where the model ends in `Linear`.
        declared: whether the mapping is in the order in which the layers were declared, as
            PyTorch's own is and a `.safetensors` file is not; it decides where names and shapes
            allow several orders.

    Returns:
        A copy of the network, and its spec, as from `jaxnet.load`.

    Raises:
        TypeError, ValueError: other arrays, shapes that do not match, or no single order.

    Example:
        >>> import numpy
        >>> state = {"0.weight": numpy.ones((3, 2)), "0.bias": numpy.ones(3)}
        >>> from_state_dict(state, squash="relu", last_squash="identity")[1].sizes
        (2, 3)
    """
    if not all(hasattr(a, "shape") for a in state.values()):
        raise TypeError("Expected arrays by name, as model.state_dict() returns them.")
    names = [str(n).removesuffix("weight") for n in state if str(n).endswith("weight")]
    if set(state) != {name + kind for name in names for kind in ("weight", "bias")}:
        raise ValueError(
            "Expected a weight and a bias for each layer, and no other arrays; got "
            f"{in_one_line(state):.200}."
        )
    shapes = {name: state[name + "weight"].shape for name in names}
    arrays = [
        (_numpy(state[name + "weight"]), _numpy(state[name + "bias"]))
        for name in in_order(shapes, declared=declared)
    ]
    return with_spec(arrays, squash, last_squash)


def save_state_dict(
    path: str | os.PathLike[str],
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    notes: Notes | None = None,
) -> None:
    """Saves a network as a state dict: `0.weight`, `0.bias`, `2.weight`, ...

    Those are the names in the `torch.nn.Sequential` that `to_torch` returns.

    Args:
        path: `.safetensors`, which `safetensors.torch.load_file` reads and which needs no PyTorch
            to write; with any other ending, `torch.save` writes the arrays only.
        params: the network.
        squash, last_squash, notes: as for `jaxnet.save`; only `.safetensors` stores them.

    Raises:
        TypeError, ValueError: not one network of finite floats, an unknown squash, or a note
            with a reserved name.
        ModuleNotFoundError: PyTorch is not installed.
        OSError: the file cannot be written.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "torch.safetensors")
        >>> save_state_dict(path, jaxnet.init(jax.random.key(0), (784, 10)))
        >>> sorted(load_state_dict(path)[0])
        ['0.bias', '0.weight']
    """
    params, spec = with_spec(params, squash, last_squash, notes)
    if Path(path).suffix.lower() == ".safetensors":
        state = {
            f"{2 * n}.{name}": np.ascontiguousarray(array)
            for n, layer in enumerate(params)
            for name, array in zip(("weight", "bias"), layer, strict=True)
        }
        said = {"format": "pt", "squash": spec.squash, "last_squash": spec.last_squash}
        content = to_bytes(state, with_notes(said, spec.notes))
    else:
        torch = package("torch", _INSTALL)
        model = to_torch(params, squash=squash, last_squash=last_squash)
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        content = buffer.getvalue()
    with replacing(path) as file:
        file.write(content)


def load_state_dict(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Loads a state dict without running any code that the file may contain.

    Args:
        path: `.safetensors`, which needs no PyTorch, or what `torch.save(model.state_dict())`
            wrote; or a checkpoint with a state dict under `model_state_dict`, `state_dict`
            (as PyTorch Lightning's) or `model`, whose other entries are ignored.

    Returns:
        The arrays by name, for `from_state_dict`, and the file's metadata.

    Raises:
        FileError: neither of these, or it contains more than arrays.
        ModuleNotFoundError: PyTorch is not installed.
        OSError: the file cannot be opened or read.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "torch.safetensors")
        >>> save_state_dict(path, jaxnet.init(jax.random.key(0), (784, 10)), squash="relu")
        >>> load_state_dict(path)[1]["squash"]
        'relu'
    """
    with open_file(path) as file:
        check_archive(file, path)
        content = file.read()
    is_safetensors = Path(path).suffix.lower() == ".safetensors"
    if not is_safetensors and not content.startswith((b"PK", b"\x80")):
        raise FileError(
            f"{path}: not a PyTorch file. Raw numbers have neither names nor shapes; save arrays "
            "with torch.save(model.state_dict(), ...) or numpy.savez."
        )
    try:
        if is_safetensors:
            with safe_open(os.fspath(path), framework="numpy") as tensors:
                state = {name: np.asarray(tensors.get_tensor(name)) for name in tensors.keys()}  # noqa: SIM118
                return state, dict(tensors.metadata() or {})
        torch = package("torch", _INSTALL)
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except ModuleNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{path}: contains more than arrays, which could run code, so it was not loaded; "
            "save model.state_dict()."
        ) from error
    except Exception as error:  # many kinds: a bad archive, a malformed header
        raise FileError(f"{path}: not a complete PyTorch state dict.") from error
    state = _unwrapped(state)
    if not isinstance(state, Mapping) or not all(
        isinstance(a, torch.Tensor) for a in state.values()
    ):
        raise FileError(f"{path}: not a plain state dict; save model.state_dict().")
    if sum(a.nbytes for a in state.values()) > len(content):  # a stride of 0 repeats a few bytes
        raise FileError(f"{path}: its arrays are larger than the file.")
    return dict(state), {}


def _unwrapped(state: Any) -> Any:
    """The state dict in a checkpoint, which may have other entries beside it."""
    if isinstance(state, Mapping):
        for name in _WRAPPERS:
            if isinstance(inner := state.get(name), Mapping) and inner:
                return inner
    return state


def _steps(torch: Any, model: Any) -> Iterator[Step]:
    """The modules, copied in float64 and evaluation mode."""
    uninitialized = torch.nn.parameter.UninitializedParameter
    for part in model:
        # A subclass may override forward, so only the exact types are accepted.
        if type(part) is torch.nn.Sequential:
            yield from _steps(torch, part)
        elif any(isinstance(p, uninitialized) for p in part.parameters()):
            raise ValueError(f"Expected modules with weights; {part} has not seen an image yet.")
        elif type(part) is torch.nn.Linear and not (
            part._forward_hooks or part._forward_pre_hooks  # which change what it computes
        ):
            bias = torch.zeros(part.out_features) if part.bias is None else part.bias
            yield dense(str(part), _numpy(part.weight), _numpy(bias))
        else:
            try:
                copy = deepcopy(part).cpu().double().eval()
            except RuntimeError as error:  # weights that a hook computes
                raise ValueError(
                    f"Expected modules that can be copied; got {in_one_line([part])}. Remove what "
                    "computes its weights, as torch.nn.utils.remove_weight_norm does."
                ) from error
            yield Step(in_one_line([part]), partial(_run, torch, copy))


def _run(torch: Any, module: Any, batch: NDArray[Any]) -> NDArray[Any]:
    with torch.no_grad():
        return module(torch.tensor(batch)).numpy()


def _numpy(array: Any) -> NDArray[Any]:
    """Converts to NumPy; bfloat16, which NumPy lacks, becomes float32."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        array = array.float() if "bfloat16" in str(array.dtype) else array
    return np.asarray(array)
