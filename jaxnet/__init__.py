"""The network of 3Blue1Brown's "But what is a neural network?" as pure JAX functions.

    params = jaxnet.pretrained()                       # 784-16-16-10, 13,002 numbers
    x = jaxnet.data.strokes.draw(jax.random.key(0), 7)  # one image, shape (784,)
    jaxnet.predict(params, x)                          # 7

`network` holds the network itself, `training` how it learns, `inference` how it reads many
images, `jobs` and `shards` how it reads whole files of them; `design` sets weights by hand;
`ensembles`, `gradients`, `landscape` and `attribution` are for experiments; `data` says where
images come from, `formats` how networks are kept, `show` what is seen.
"""

from jaxnet import attribution as attribution
from jaxnet import data as data
from jaxnet import design as design
from jaxnet import ensembles as ensembles
from jaxnet import formats as formats
from jaxnet import gradients as gradients
from jaxnet import inference as inference
from jaxnet import jobs as jobs
from jaxnet import landscape as landscape
from jaxnet import network as network
from jaxnet import records as records
from jaxnet import runs as runs
from jaxnet import shards as shards
from jaxnet import show as show
from jaxnet import shuffling as shuffling
from jaxnet import training as training
from jaxnet.files import FileError as FileError
from jaxnet.formats.safetensors import load as load
from jaxnet.formats.safetensors import save as save
from jaxnet.handmade import handmade as handmade
from jaxnet.inference import Answers as Answers
from jaxnet.inference import classify as classify
from jaxnet.network import Layer as Layer
from jaxnet.network import Params as Params
from jaxnet.network import activations as activations
from jaxnet.network import count as count
from jaxnet.network import forward as forward
from jaxnet.network import init as init
from jaxnet.network import logits as logits
from jaxnet.network import predict as predict
from jaxnet.pretrained import pretrained as pretrained
