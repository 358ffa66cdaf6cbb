"""The network of 3Blue1Brown's "But what is a neural network?" as pure JAX functions.

    params = jaxnet.pretrained()                          # 784-16-16-10, 13,002 numbers
    x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)  # one image, shape (784,)
    jaxnet.predict(params, x)                             # 7

`network` is the network itself, `training` fits it, `inference` classifies many images. Around
these: `data` loads and draws images, `batch` classifies files of them, `formats` saves and converts
networks, `runs` trains with checkpoints, `estimator` is for scikit-learn, `design` sets weights by
hand, `analysis` studies a network, `plot` draws it, and `bench` measures this machine.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers take it to be true; `typing` is slow to import
if TYPE_CHECKING:
    from jaxnet import analysis as analysis
    from jaxnet import batch as batch
    from jaxnet import bench as bench
    from jaxnet import data as data
    from jaxnet import design as design
    from jaxnet import estimator as estimator
    from jaxnet import formats as formats
    from jaxnet import inference as inference
    from jaxnet import network as network
    from jaxnet import plot as plot
    from jaxnet import runs as runs
    from jaxnet import training as training
    from jaxnet._page import page as page
    from jaxnet._pretrained import pretrained as pretrained
    from jaxnet._util.files import FileError as FileError
    from jaxnet.design import handmade as handmade
    from jaxnet.formats import load as load
    from jaxnet.formats import save as save
    from jaxnet.inference import Answers as Answers
    from jaxnet.inference import classify as classify
    from jaxnet.inference import stream as stream
    from jaxnet.network import Layer as Layer
    from jaxnet.network import Params as Params
    from jaxnet.network import activations as activations
    from jaxnet.network import count as count
    from jaxnet.network import forward as forward
    from jaxnet.network import init as init
    from jaxnet.network import logits as logits
    from jaxnet.network import predict as predict
    from jaxnet.training import evaluate as evaluate
    from jaxnet.training import fit as fit

    __version__: str

# Imported on first use, as in https://scientific-python.org/specs/spec-0001.
_ROOMS = (
    *("analysis", "batch", "bench", "data", "design", "estimator", "formats", "inference"),
    *("network", "plot", "runs", "training"),
)
_FROM = {
    "network": ("Layer", "Params", "init", "forward", "logits", "activations", "predict", "count"),
    "training": ("fit", "evaluate"),
    "inference": ("classify", "stream", "Answers"),
    "formats": ("load", "save"),
    "_util.files": ("FileError",),
    "_pretrained": ("pretrained",),
    "design": ("handmade",),
    "_page": ("page",),
}
_ORIGIN = {name: module for module, names in _FROM.items() for name in names}

__all__ = sorted((*_ROOMS, *_ORIGIN))  # pyright: ignore[reportUnsupportedDunderAll]

if not TYPE_CHECKING:  # a type checker then finds names that are misspelled

    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return import_module(f"jaxnet.{name}")
        if name == "__version__":
            return import_module("importlib.metadata").version("jaxnet-digits")
        if name not in _ORIGIN:
            raise AttributeError(f"module 'jaxnet' has no attribute {name!r}")
        value = getattr(import_module(f"jaxnet.{_ORIGIN[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
