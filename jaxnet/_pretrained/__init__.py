"""The trained network that comes with jaxnet, and `train.py`, which made it."""

from jaxnet.formats import load
from jaxnet.network import Params


def pretrained() -> Params:
    """The video's network, 784-16-16-10 with sigmoid, trained on MNIST's training images.

    Returns:
        Its 13,002 weights and biases, in float32. `jaxnet info` prints how it was trained, and
        `jaxnet.load()` returns that with the network.

    Example:
        >>> import jaxnet
        >>> jaxnet.count(jaxnet.pretrained())
        13002
    """
    return load()[0]
