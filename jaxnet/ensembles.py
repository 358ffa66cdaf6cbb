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

from jaxnet.network import Image, Params, Squash, logits

Members = TypeVar("Members")


class Verdict(NamedTuple):
    """What an ensemble reads in one image.

    Attributes:
        digit: a scalar, the index of the brightest of `activations`.
        activations: shape `(10,)`, the mean of the members' outputs.
        votes: shape `(10,)`, the share of the members that read each digit.
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
    votes = jax.nn.one_hot(z.argmax(1), z.shape[1], dtype=z.dtype).mean(0)
    return Verdict(activations.argmax(), activations, votes, 1 - (votes**2).sum())


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
    if devices is None and not (ambient := jax.sharding.get_mesh()).empty:
        devices = ambient
    chosen = jax.devices() if devices is None else devices
    mesh = chosen if isinstance(chosen, Mesh) else Mesh(np.asarray(chosen), ("members",))
    for leaf in jax.tree.leaves(members):
        if leaf.shape[0] % mesh.size:
            raise ValueError(
                f"Expected a number of members that {mesh.size} devices can share evenly; "
                f"got {leaf.shape[0]} instead."
            )
    axes: Any = mesh.axis_names
    return jax.device_put(members, NamedSharding(mesh, PartitionSpec(axes)))
