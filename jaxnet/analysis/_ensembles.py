"""Ensembles: parameters whose arrays all have a leading member axis."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jaxnet.network import Image, Params, Squash, as_function, logits, predicted

Members = TypeVar("Members")


class Vote(NamedTuple):
    """An ensemble's prediction for one image.

    Attributes:
        digit: a scalar, the index of the largest of `activations`; with a single output, 1 if the
            mean of the members' logits is positive, else 0.
        activations: shape `(10,)`, the mean of the members' outputs.
        votes: shape `(10,)`, the fraction of members that predict each digit; `(2,)` with a
            single output.
        disagreement: a scalar from 0 to 1, the probability that two members, drawn independently,
            predict different digits.
    """

    digit: Int[Array, ""]
    activations: Float[Array, " out"]
    votes: Float[Array, " out"]
    disagreement: Float[Array, ""]


def vote(
    ensemble: Params, x: Image, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> Vote:
    """Averages the members' outputs for one image, and counts their votes.

    Args:
        ensemble: networks of one shape, every array with a leading member axis.
        x: one image, as for `jaxnet.forward`; for a batch, `jax.vmap` over it.
        squash, last_squash: as in `jaxnet.forward`.

    Returns:
        The mean activations, the votes, and how much the members disagree.

    Example:
        >>> import jax, jaxnet
        >>> ensemble = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), 5))
        >>> vote = jaxnet.analysis.vote(ensemble, jax.numpy.zeros(784))
        >>> float(vote.votes.sum())
        1.0

    Source: disagreement is the Gini-Simpson index of the votes, Simpson, "Measurement of
    diversity", 1949.
    """
    z = jax.vmap(lambda member: logits(member, x, squash=squash))(ensemble)
    activations = jax.vmap(as_function(last_squash))(z).mean(0)
    n_digits = max(z.shape[1], 2)  # a single output answers 0 or 1
    votes = jax.nn.one_hot(jax.vmap(predicted)(z), n_digits, dtype=z.dtype).mean(0)
    digit = activations.argmax() if z.shape[1] > 1 else predicted(z.mean(0))
    return Vote(digit, activations, votes, 1 - (votes**2).sum())


def shard_members(members: Members, devices: Sequence[Any] | Mesh | None = None) -> Members:
    """Shards an ensemble's members across devices.

    Training them under `jax.jit` then needs no communication: each device holds its own members
    and a copy of the images. With `jax.distributed`, the devices are those of all hosts, and every
    host calls this with all members.

    Args:
        members: arrays with a leading member axis, such as an ensemble and its learning rates.
        devices: a list, or a mesh, whose axes all shard the members; by default the mesh of
            `jax.set_mesh`, or else all devices.

    Returns:
        The same arrays, each sharded along its first axis.

    Raises:
        ValueError: the number of members is not a multiple of the number of devices.

    Example:
        >>> import jax, jaxnet
        >>> ensemble = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), 8))
        >>> jaxnet.analysis.shard_members(ensemble)[0].weights.sharding.spec[0]
        'members'
        >>> mesh = jax.make_mesh((1,), ("i",))
        >>> jaxnet.analysis.shard_members(ensemble, mesh)[0].weights.sharding.spec[0]
        'i'
    """
    if devices is None:
        devices = _current_mesh() or jax.devices()
    mesh = devices if isinstance(devices, Mesh) else Mesh(np.asarray(devices), ("members",))
    for leaf in jax.tree.leaves(members):
        if leaf.shape[0] % mesh.size:
            raise ValueError(
                f"Expected a multiple of {mesh.size} members, the number of devices; "
                f"got {leaf.shape[0]} instead."
            )
    axes: Any = mesh.axis_names
    return jax.device_put(members, NamedSharding(mesh, PartitionSpec(axes)))


def _current_mesh() -> Mesh | None:
    """The mesh of `jax.set_mesh`, which JAX returns only outside `jit`."""
    try:
        mesh = jax.sharding.get_mesh()
    except ValueError:
        return None
    return None if mesh.empty else mesh
