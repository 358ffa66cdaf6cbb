"""StableHLO: the network exported for programs that have JAX but not jaxnet.

A file holds what `jax.export` serializes; `jax.export.deserialize(data).call(images)` runs it
without jaxnet and returns `digits` and `activations`. These files expire: JAX guarantees that they
run only on versions up to six months newer or three weeks older than the one that wrote them.
Keep the weights in safetensors, and export again when needed.

Source: https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Num

from jaxnet._util.files import FileError, open_file
from jaxnet._util.optional import package
from jaxnet._util.pixels import is_pixel_dtype
from jaxnet.formats._parts import check_batch, with_spec
from jaxnet.formats._spec import in_words
from jaxnet.network import Params, Squash, as_function, logits, predicted

__all__ = ["export", "load"]

PLATFORMS = ("cpu", "cuda", "tpu")
_KNOWN = {*PLATFORMS, "rocm"}
_CONVENTIONS = range(
    jax.export.minimum_supported_calling_convention_version,
    jax.export.maximum_supported_calling_convention_version + 1,
)
_NONE = "0" * 64
_SHA256 = re.compile(rb'("sha256": ")[0-9a-f]{64}')
LIFETIME = "run by JAX up to 6 months newer and 3 weeks older"
_INSTALL = "pip install 'jaxnet-digits[stablehlo]'"

Images = Num[Array | np.ndarray, "n pixels"]
Classifier = Callable[[Images], tuple[Int[Array, " n"], Float[Array, "n 10"]]]


def export(
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    image_dtype: DTypeLike = np.float32,
    batch: int | None = None,
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Exports a network as a StableHLO file, for several platforms at once.

    Matrix products use the `jax.default_matmul_precision` in effect at export; by default, GPUs
    and TPUs are less precise than CPUs. As in everything that JAX lowers, the program contains
    source file paths; `jax.config.update("jax_traceback_in_locations_limit", 0)` omits them.

    Args:
        params: the network; its arrays become constants of the program.
        squash, last_squash: as for `jaxnet.save`.
        image_dtype: uint8, images from 0 to 255; or a float type, images from 0 to 1.
        batch: a fixed batch size; by default, any number of images, at least one.
        platforms: where it can run, by JAX's names.

    Returns:
        The bytes of the file. The function's name in it is JSON: the sizes, the squashing
        functions, the versions of jaxnet, JAX and the calling convention, how long JAX guarantees
        to run it, and a checksum.

    Raises:
        TypeError, ValueError: not one network of finite floats, an unknown squash or platform,
            an unsupported image dtype, or a batch below 1.
        ModuleNotFoundError: `flatbuffers` is not installed.

    Example:
        >>> import jax, numpy, jaxnet
        >>> data = export(jaxnet.init(jax.random.key(0), (784, 10)), image_dtype="uint8")
        >>> digits, activations = jax.export.deserialize(data).call(numpy.ones((5, 784), "uint8"))
        >>> activations.shape
        (5, 10)
    """
    package("flatbuffers", _INSTALL)
    params, spec = with_spec(params, squash, last_squash)
    dtype = jnp.dtype(image_dtype)
    if not is_pixel_dtype(dtype):
        raise ValueError(f"Expected images in uint8 or floats; got {dtype} instead.")
    check_batch(batch)
    if not platforms or not set(platforms) <= _KNOWN:
        raise ValueError(f"Expected platforms of {', '.join(sorted(_KNOWN))}; got {platforms}.")

    def classify(images: Array) -> tuple[Array, Array]:
        x = images.astype(params[0].weights.dtype)
        x = x / 255 if dtype == jnp.uint8 else x
        z = jax.vmap(lambda x: logits(params, x, squash=squash))(x)
        return jax.vmap(predicted)(z), jax.vmap(as_function(last_squash))(z)

    (n,) = jax.export.symbolic_shape(str(batch or "n"))
    images = jax.ShapeDtypeStruct((n, spec.sizes[0]), dtype)
    exported = jax.export.export(jax.jit(classify), platforms=platforms)(images)
    said = {
        "sizes": in_words(spec.sizes),
        "squash": spec.squash,
        "last_squash": spec.last_squash,
        "jaxnet": version("jaxnet-digits"),
        "jax": jax.__version__,
        "calling_convention_version": str(exported.calling_convention_version),
        "lifetime": LIFETIME,
        "sha256": _NONE,
    }
    # The function name is the only metadata field that stays readable without JAX.
    content = bytes(dataclasses.replace(exported, fun_name=json.dumps(said)).serialize())
    return content.replace(_NONE.encode(), _digest(content).encode())


def load(path: str | os.PathLike[str]) -> tuple[Classifier, dict[str, str]]:
    """Loads a file that `export` made; only load files you trust: they contain code.

    Args:
        path: the file.

    Returns:
        A function from images, shape `(n, 784)`, to their digits, shape `(n,)`, and activations,
        shape `(n, 10)`, which can be jitted; unlike JAX's own `call`, it accepts an empty batch.
        And the file's metadata, listed under `export`.

    Raises:
        FileError: not such a file, damaged, or too old or new for the installed JAX.
        ModuleNotFoundError: `flatbuffers` is not installed.
        OSError: the file cannot be opened or read.

    Example:
        >>> import jax, numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.stablehlo")
        >>> _ = path.write_bytes(export(jaxnet.pretrained()))
        >>> classify, about = load(path)
        >>> classify(numpy.zeros((0, 784), "float32"))[1].shape, about["sizes"]
        ((0, 10), '784-16-16-10')
    """
    package("flatbuffers", _INSTALL)
    with open_file(path) as file:
        content = file.read()
    try:
        exported = jax.export.deserialize(bytearray(content))
        said = json.loads(exported.fun_name)
        if exported.calling_convention_version not in _CONVENTIONS:
            raise ValueError(exported.calling_convention_version)
        whole = said["sha256"] == _digest(content)
    except Exception as error:  # many kinds: deserialization does not validate bytes
        found = re.search(rb'"jax": "([\w.+]{1,40})"', content)
        made = f" made by JAX {found[1].decode()} and read by {jax.__version__}" if found else ""
        raise FileError(
            f"{path}: not a complete StableHLO file from jaxnet{made}; export it again."
        ) from error
    if not whole:
        raise FileError(f"{path}: its checksum does not match; export it again.")
    return _classifier(exported), said


def _classifier(exported: Any) -> Classifier:
    (expected,) = exported.in_avals
    outputs = exported.out_avals
    call = jax.jit(exported.call)

    def classify(images: Images) -> tuple[Array, Array]:
        n = len(images) if jax.export.is_symbolic_dim(expected.shape[0]) else expected.shape[0]
        if images.shape != (n, expected.shape[1]) or images.dtype != expected.dtype:
            raise ValueError(
                f"Expected images in {expected.dtype} of shape {expected.shape}; got "
                f"{images.dtype}{list(images.shape)} instead."
            )
        if n == 0:
            digits, activations = (jnp.zeros((0, *aval.shape[1:]), aval.dtype) for aval in outputs)
            return digits, activations
        return call(images)

    return classify


def _digest(content: bytes) -> str:
    """The file's SHA-256, computed with its own field zeroed."""
    return hashlib.sha256(_SHA256.sub(rb"\g<1>" + _NONE.encode(), content)).hexdigest()
