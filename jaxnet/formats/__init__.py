"""Saving networks, converting them to and from other frameworks, and exporting them."""

from jaxnet.formats import onnx as onnx
from jaxnet.formats import stablehlo as stablehlo
from jaxnet.formats._files import load as load
from jaxnet.formats._files import save as save
from jaxnet.formats._spec import Spec as Spec
from jaxnet.formats.equinox import from_equinox as from_equinox
from jaxnet.formats.equinox import to_equinox as to_equinox
from jaxnet.formats.flax import from_linen as from_linen
from jaxnet.formats.flax import from_nnx as from_nnx
from jaxnet.formats.flax import to_linen as to_linen
from jaxnet.formats.flax import to_nnx as to_nnx
from jaxnet.formats.keras import from_keras as from_keras
from jaxnet.formats.keras import to_keras as to_keras
from jaxnet.formats.sklearn import from_sklearn as from_sklearn
from jaxnet.formats.sklearn import to_sklearn as to_sklearn
from jaxnet.formats.torch import from_state_dict as from_state_dict
from jaxnet.formats.torch import from_torch as from_torch
from jaxnet.formats.torch import to_torch as to_torch
