"""The trained networks that come with jaxnet; `examples/pretrained` made them."""

from pathlib import Path

from jaxnet._util.arguments import check_choice
from jaxnet.formats import load
from jaxnet.network import Params

NAMES = ("free", "edges", "components")


def pretrained(name: str = "free") -> Params:
    """The video's network, 784-16-16-10 with sigmoid, trained on MNIST's training images.

    "free" is trained without any constraint. The other two work as the video hopes. In "edges",
    each neuron of the second layer is exactly `jaxnet.design.edge` times a gain, less a threshold.
    In "components", in addition, each neuron of the third layer detects one of the sixteen
    `jaxnet.data.synthetic.COMPONENTS`, in their order, such as a loop above.

    Args:
        name: "free", "edges" or "components".

    Returns:
        Its 13,002 weights and biases, in float32. `jaxnet info edges`, for one, prints how it was
        trained.

    Raises:
        ValueError: another name.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.count(jaxnet.pretrained())
        13002
        >>> from jaxnet.data.synthetic import COMPONENTS, draw_component
        >>> x = draw_component(jax.random.key(0), COMPONENTS.index("loop above"))
        >>> _, _, third_layer, _ = jaxnet.activations(jaxnet.pretrained("components"), x)
        >>> COMPONENTS[third_layer.argmax()]
        'loop above'
    """
    check_choice(NAMES, name, "name")
    return load(path_of(name))[0]


def path_of(name: str) -> Path:
    """The file of a trained network that comes with jaxnet."""
    return Path(__file__).with_name(f"{'network' if name == 'free' else name}.safetensors")
