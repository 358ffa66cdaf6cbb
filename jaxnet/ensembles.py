"""Networks side by side: parameters whose every array has one more axis in front, the members.

    ensemble = jax.vmap(jaxnet.init)(jax.random.split(key, 100))

Whatever takes one network takes a hundred by `jax.vmap`; `jaxnet.training` trains them so.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.nn import sigmoid
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jaxnet.network import Image, Params, Squash, logits, predicted

Members = TypeVar("Members")


class Verdict(NamedTuple):
    """What an ensemble reads in one image.

    Attributes:
        digit: a scalar, the index of the brightest of `activations`; of a single output, 1 if the
            mean of the members' logits is above zero, else 0.
        activations: shape `(10,)`, the mean of the members' outputs.
        votes: shape `(10,)`, the share of the members that read each digit; `(2,)` for a single
            output.
        disagreement: a scalar from 0 to 1, the share of all pairs of members, each with
            itself among them, that read different digits.
    """

    digit: Int[Array, ""]
    activations: Float[Array, " out"]
    votes: Float[Array, " out"]
    disagreement: Float[Array, ""]


def consult(
    ensemble: Params, x: Image, *, squash: Squash = sigmoid, last_squash: Squash = sigmoid
) -> Verdict:
    """Asks all members of an ensemble what an image shows.

    Args:
        ensemble: networks of one shape, each array with one more axis in front.
        x: one image, as for `jaxnet.forward`; for a batch, `jax.vmap` over it.
        squash, last_squash: as in `jaxnet.forward`.

    Returns:
        The mean answer, the votes, and how far the members disagree.

    Example:
        >>> import jax, jaxnet
        >>> ensemble = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), 5))
        >>> verdict = jaxnet.ensembles.consult(ensemble, jax.numpy.zeros(784))
        >>> float(verdict.votes.sum())
        1.0
    """
    z = jax.vmap(lambda member: logits(member, x, squash=squash))(ensemble)
    activations = jax.vmap(last_squash)(z).mean(0)
    n_digits = max(z.shape[1], 2)  # a single output tells 1 from 0
    votes = jax.nn.one_hot(jax.vmap(predicted)(z), n_digits, dtype=z.dtype).mean(0)
    digit = activations.argmax() if z.shape[1] > 1 else predicted(z.mean(0))
    return Verdict(digit, activations, votes, 1 - (votes**2).sum())


def spread(members: Members, devices: Sequence[Any] | Mesh | None = None) -> Members:
    """Shards an ensemble across devices; what `jax.jit` then computes of it stays there.

    Where the members are trained, nothing needs to pass between devices: each has its own share
    of the members and reads the shared images itself. With `jax.distributed` these are the
    devices of all hosts, and every host calls this with all members.

    Args:
        members: arrays with the members' axis in front, such as an ensemble and its rates.
        devices: a list, or a mesh, all of whose axes divide the members. If not given, the mesh
            of `jax.set_mesh`, or else all devices.

    Returns:
        The same arrays, each divided along its first axis.

    Raises:
        ValueError: the members cannot be divided evenly.

    Example:
        >>> import jax, jaxnet
        >>> ensemble = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), 8))
        >>> jaxnet.ensembles.spread(ensemble)[0].weights.sharding.spec[0]
        'members'
        >>> mesh = jax.make_mesh((1,), ("i",))
        >>> jaxnet.ensembles.spread(ensemble, mesh)[0].weights.sharding.spec[0]
        'i'
    """
    if devices is None:
        devices = _mesh_set() or jax.devices()
    mesh = devices if isinstance(devices, Mesh) else Mesh(np.asarray(devices), ("members",))
    for leaf in jax.tree.leaves(members):
        if leaf.shape[0] % mesh.size:
            raise ValueError(
                f"Expected a number of members that {mesh.size} devices can share evenly; "
                f"got {leaf.shape[0]} instead."
            )
    axes: Any = mesh.axis_names
    return jax.device_put(members, NamedSharding(mesh, PartitionSpec(axes)))


def _mesh_set() -> Mesh | None:
    """The mesh of `jax.set_mesh`, which JAX shows outside `jit` only."""
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:
        return None
    return None if mesh.empty else mesh
