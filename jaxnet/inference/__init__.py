"""Inference: classify many images in memory, on CPUs, GPUs and TPUs.

    digits, activations = classify(params, images)    # any number, uint8 or floats
    for answers in stream(params, batches): ...        # an iterator of batches, lazily
    classify_batch = classifier(params)                # a function to keep

All cores or the given `devices` share the work; of several hosts, each classifies its `share`. For
one image at a time, use `jax.jit(jaxnet.predict)`; for images that are on a device already, and
inside `jit`, `classify_on_device`.
"""

from jaxnet.inference._classify import Answers as Answers
from jaxnet.inference._classify import classifier as classifier
from jaxnet.inference._classify import classify as classify
from jaxnet.inference._classify import share as share
from jaxnet.inference._classify import stream as stream
from jaxnet.inference._confidence import confidence as confidence
from jaxnet.inference._on_device import classify_on_device as classify_on_device
from jaxnet.inference._quantize import PRECISIONS as PRECISIONS
