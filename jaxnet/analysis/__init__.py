"""Analysis: what a trained network responds to, and how its cost depends on images and weights.

    params, black = jaxnet.pretrained(), jnp.zeros(784)
    contributions(params, x, layer=3, neuron=7)            # what each hidden neuron adds to the "7"
    maximizing_image(params, black, layer=3, neuron=7)     # the image that makes it largest
    per_example_gradients(params, images, labels)          # one gradient per image
    top_hessian_eigenvalue(key, params, images, labels)    # bounds the learning rate
    jax.vmap(edge_fit)(params[0].weights)                  # how much of each neuron is an edge
    probe(key, params, images, labels).summary()           # edges, components, digits: as hoped?
    vote(jax.vmap(jaxnet.init)(jax.random.split(key, 100)), x)  # a hundred networks, one image

A neuron is named by its layer and its index, as in `activations(params, x)[layer][neuron]`; layer 0
is the image. An ensemble is `Params` whose arrays have a leading member axis, so anything written
for one network takes an ensemble under `jax.vmap`.

All functions are pure and work under `jit` (with `layer`, `squash` and other Python arguments
static), `vmap`, `grad` and sharding, except those that run on the host: `maximizing_images`,
`match_neurons`, `shard_members`, `check_neuron` and `probe`.
"""

from jaxnet.analysis._attribution import contributions as contributions
from jaxnet.analysis._attribution import maximizing_drawing as maximizing_drawing
from jaxnet.analysis._attribution import maximizing_image as maximizing_image
from jaxnet.analysis._attribution import maximizing_images as maximizing_images
from jaxnet.analysis._attribution import saliency as saliency
from jaxnet.analysis._attribution import weighted_sum as weighted_sum
from jaxnet.analysis._edges import EdgeFit as EdgeFit
from jaxnet.analysis._edges import edge_fit as edge_fit
from jaxnet.analysis._ensembles import Vote as Vote
from jaxnet.analysis._ensembles import shard_members as shard_members
from jaxnet.analysis._ensembles import vote as vote
from jaxnet.analysis._gradients import influence as influence
from jaxnet.analysis._gradients import per_example_gradients as per_example_gradients
from jaxnet.analysis._landscape import hessian_vector_product as hessian_vector_product
from jaxnet.analysis._landscape import interpolate as interpolate
from jaxnet.analysis._landscape import match_neurons as match_neurons
from jaxnet.analysis._landscape import top_hessian_eigenvalue as top_hessian_eigenvalue
from jaxnet.analysis._probes import ComponentFit as ComponentFit
from jaxnet.analysis._probes import Probe as Probe
from jaxnet.analysis._probes import auc as auc
from jaxnet.analysis._probes import component_fit as component_fit
from jaxnet.analysis._probes import probe as probe
from jaxnet.analysis._probes import selectivity as selectivity
from jaxnet.analysis._probes import silence_cost as silence_cost
