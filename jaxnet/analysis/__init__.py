"""Analysis: what a trained network responds to, and how its cost depends on images and weights.

    params, black = jaxnet.pretrained(), jnp.zeros(784)
    contributions(params, x, layer=3, neuron=7)            # what each hidden neuron adds to the "7"
    maximizing_image(params, black, layer=3, neuron=7)     # the image that makes it largest
    per_example_gradients(params, images, labels)          # one gradient per image
    top_hessian_eigenvalue(key, params, images, labels)    # bounds the learning rate
    vote(jax.vmap(jaxnet.init)(jax.random.split(key, 100)), x)  # a hundred networks, one image

A neuron is named by its layer and its index, as in `activations(params, x)[layer][neuron]`; layer 0
is the image. An ensemble is `Params` whose arrays have a leading member axis, so anything written
for one network takes an ensemble under `jax.vmap`.

All functions are pure and work under `jit` (with `layer`, `squash` and other Python arguments
static), `vmap`, `grad` and sharding, except those that run on the host: `maximizing_images`,
`match_neurons`, `shard_members` and `check_neuron`.
"""

from jaxnet.analysis._attribution import answering_output as answering_output
from jaxnet.analysis._attribution import check_neuron as check_neuron
from jaxnet.analysis._attribution import contributions as contributions
from jaxnet.analysis._attribution import maximizing_image as maximizing_image
from jaxnet.analysis._attribution import maximizing_images as maximizing_images
from jaxnet.analysis._attribution import saliency as saliency
from jaxnet.analysis._attribution import weighted_sum as weighted_sum
from jaxnet.analysis._ensembles import Vote as Vote
from jaxnet.analysis._ensembles import shard_members as shard_members
from jaxnet.analysis._ensembles import vote as vote
from jaxnet.analysis._gradients import influence as influence
from jaxnet.analysis._gradients import per_example_gradients as per_example_gradients
from jaxnet.analysis._landscape import hessian_vector_product as hessian_vector_product
from jaxnet.analysis._landscape import interpolate as interpolate
from jaxnet.analysis._landscape import match_neurons as match_neurons
from jaxnet.analysis._landscape import top_hessian_eigenvalue as top_hessian_eigenvalue
