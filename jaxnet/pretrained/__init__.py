"""The trained network that comes with jaxnet; how it was made is in `train.py` beside it."""

from pathlib import Path

from jaxnet.formats.safetensors import load
from jaxnet.network import Params

PATH = Path(__file__).with_name("network.safetensors")


def pretrained() -> Params:
    """The video's network, 784-16-16-10 with sigmoid, learnt from MNIST's training images.

    Returns:
        Its 13,002 weights and biases, in float32. What is known of it, `jaxnet info` tells.

    Example:
        >>> import jaxnet
        >>> jaxnet.count(jaxnet.pretrained())
        13002
    """
    return load(PATH)[0]
