"""The table of pure functions for `tests.test_transformations`, with arguments and oracles."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit, log_softmax, softmax

import jaxnet
from jaxnet import analysis, design, inference, training
from jaxnet._util import shuffle
from jaxnet.data import augment, synthetic
from jaxnet.network import Layer
from tests.laws import Case
from tests.oracles import backpropagation, matrix_form

SIZES = (6, 5, 4)
SIDE = 4  # of the images for augmentation
PURE = (jaxnet.network, training, inference, analysis, shuffle, synthetic, augment, design)
ON_THE_HOST = {
    *("network.count", "training.evaluation_params"),  # look at shapes only
    *("analysis.maximizing_images", "analysis.match_neurons", "analysis.shard_members"),
    "analysis.probe",  # a report for the host; its parts are pure
    "design.handmade",
    *("inference.classify", "inference.classifier", "inference.stream", "inference.share"),
    "inference.confidence",
}
VALUES_ONLY = {"smooth": False, "x64": False}  # and in float32 only


def network(rng, sizes=SIZES):
    return tuple(
        Layer(rng.normal(size=(n_out, n_in)) / n_in**0.5, rng.normal(size=n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    )


def stacked(*trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def key(rng):
    return rng.integers(2**32, size=2, dtype=np.uint32)


def with_key(f):
    """Takes a key as its raw bits, so that every transformation may use it once."""
    return lambda bits, *rest: f(jax.random.wrap_key_data(jnp.asarray(bits)), *rest)


def one_image(rng):
    return network(rng), rng.random(SIZES[0])


def labeled_scores(rng):
    return rng.normal(size=4), rng.integers(4, dtype=np.int32)


def batch(rng, n=3):
    labels = rng.integers(SIZES[-1], size=n, dtype=np.int32)
    return network(rng), rng.random((n, SIZES[0])), labels


def images(rng):
    return network(rng), rng.random((3, SIZES[0]))


def images_of_bytes(rng):
    return network(rng), rng.integers(256, size=(3, SIZES[0]), dtype=np.uint8)


def weighted_batch(rng):
    return *batch(rng), rng.random(3)


def neuron(rng):
    return *one_image(rng), rng.integers(SIZES[-1], dtype=np.int32)


def run(rng):
    return key(rng), *batch(rng, n=4)


def augmented(rng):
    return key(rng), rng.random(SIDE**2)


def place(rng):
    return tuple(map(np.asarray, (*rng.uniform(1, 6, 2), rng.uniform(0, np.pi))))


def edges(rng):
    ranges = (1, 6), (1, 6), (0, np.pi), (3, 6), (2, 3), (1, 2), (-1, 1)
    return tuple(rng.uniform(*ends, 2) for ends in ranges)


def planted_edge(rng):
    x, y, angle = place(rng)
    return (np.asarray(design.edge(x, y, angle, length=5.0, width=3.0, side=8)),)


def auc(scores, truth):
    """Of all pairs of one with the property and one without, the share in the right order."""
    return (scores[truth][:, None] > scores[~truth]).mean()


def only_key(rng):
    return (key(rng),)


def wanted(rng):
    return (rng.choice([-1.0, 0.5, 1.0, 2.0], size=5),)


def logits(params, x):
    a = matrix_form(params, x)[-1]
    return np.log(a / (1 - a))


def quadratic_cost(z, y):
    return ((expit(z) - np.eye(z.size)[y]) ** 2).sum()


def cross_entropy(z, y):
    return -log_softmax(z)[y]


def logits_by(squash):
    def logits(params, x):
        (w1, b1), (w2, b2) = params
        return w2 @ squash(w1 @ x + b1) + b2

    return logits


def relu(z):
    return np.maximum(z, 0)


def loss(params, images, labels, weights=None, *, cost=cross_entropy, logits=logits):
    """The mean cost and the accuracy; with weights, the accuracy's two parts."""
    z = [logits(params, x) for x in images]
    costs, right = np.array([*map(cost, z, labels)]), np.argmax(z, 1) == labels
    if weights is None:
        return costs.mean(), {"accuracy": right.mean()}
    w = np.asarray(weights)
    return (w * costs).mean(), {"accuracy": ((w * right).mean(), w.mean())}


def answers(params, images):
    pixels = images / 255 if images.dtype == np.uint8 else images
    a = matrix_form(params, pixels)[-1]
    return a.argmax(1), a


def gradients_by_hand(params, images, labels):
    rights = np.eye(SIZES[-1])[labels]
    return stacked(*(backpropagation(params, x, y) for x, y in zip(images, rights, strict=True)))


def fade(key, x):
    return x * jax.random.uniform(key, dtype=x.dtype)


sgd = optax.sgd(0.1)


def stepped(params, images, labels):
    state = training.TrainState(params, sgd.init(params))
    return training.train_step(state, images, labels, optimizer=sgd)


def epoch(key, params, images, labels):
    state = training.TrainState(params, sgd.init(params))
    return training.train_epoch(key, state, images, labels, optimizer=sgd, batch_size=2)


def fitted(key, params, images, labels):
    return training.fit(key, images, labels, sgd, params=params, epochs=2, batch_size=2)


CASES = {
    "network.init": Case(
        with_key(partial(jaxnet.init, sizes=SIZES)), only_key, **VALUES_ONLY, slow=True
    ),
    "network.forward": Case(jaxnet.forward, one_image, lambda p, x: matrix_form(p, x)[-1]),
    "network.forward, tanh and softmax": Case(
        partial(jaxnet.forward, squash=jnp.tanh, last_squash=jax.nn.softmax), one_image
    ),
    "network.logits": Case(jaxnet.logits, one_image, logits),
    "network.activations": Case(jaxnet.activations, one_image, matrix_form),
    "network.predict": Case(
        jaxnet.predict, one_image, lambda p, x: matrix_form(p, x)[-1].argmax(), smooth=False
    ),
    "training.quadratic_cost": Case(training.quadratic_cost, labeled_scores, quadratic_cost),
    "training.cross_entropy": Case(training.cross_entropy, labeled_scores, cross_entropy),
    "training.train_step": Case(stepped, batch, slow=True),
    "training.train_epoch": Case(with_key(epoch), run, smooth=False, slow=True),
    "training.fit": Case(with_key(fitted), run, smooth=False, slow=True),
    "training.loss": Case(training.loss, batch, loss),
    "training.loss, quadratic": Case(
        training.MeanCost(training.quadratic_cost), batch, partial(loss, cost=quadratic_cost)
    ),
    "training.loss, relu": Case(
        training.MeanCost(squash="relu"), batch, partial(loss, logits=logits_by(relu))
    ),
    "training.loss, softmax": Case(  # a squash that looks at all neurons of an image
        training.MeanCost(squash="softmax"), batch, partial(loss, logits=logits_by(softmax))
    ),
    "training.loss, weighted": Case(
        lambda params, images, labels, weights: training.MeanCost(weighted=True)(
            params, images, (labels, weights)
        ),
        weighted_batch,
        loss,
    ),
    "training.loss, augmented": Case(
        with_key(
            lambda bits, params, images, labels: training.MeanCost(augment=fade)(
                params, images, labels, bits
            )
        ),
        lambda rng: (key(rng), *batch(rng)),
        **VALUES_ONLY,
    ),
    "training.evaluate": Case(training.evaluate, batch, smooth=False),
    "inference.classify_on_device": Case(inference.classify_on_device, images, answers),
    # Weights are rounded to bytes, so there is no derivative: no `linearize`, which `slow` omits.
    "inference.classify_on_device, bytes": Case(
        inference.classify_on_device, images_of_bytes, answers, smooth=False, slow=True
    ),
    "analysis.per_example_gradients": Case(
        partial(
            analysis.per_example_gradients,
            batch_size=2,
            loss=training.MeanCost(training.quadratic_cost),
        ),
        batch,
        gradients_by_hand,
        slow=True,
    ),
    "analysis.influence": Case(
        lambda params, images, labels: analysis.influence(
            params, images, labels, images[0], labels[0], damping=0.5, n_iterations=30
        ),
        batch,
        smooth=False,
        slow=True,
        roundings=400,
    ),
    "analysis.hessian_vector_product": Case(
        analysis.hessian_vector_product,
        lambda rng: (network(rng), *batch(rng)),
        slow=True,
        roundings=100,
    ),
    "analysis.top_hessian_eigenvalue": Case(
        with_key(partial(analysis.top_hessian_eigenvalue, n_iterations=3)),
        run,
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "analysis.interpolate": Case(
        partial(analysis.interpolate, n=3), lambda rng: (network(rng), network(rng)), roundings=10
    ),
    "analysis.contributions": Case(
        lambda params, x, k: analysis.contributions(params, x, 2, k),
        neuron,
        lambda params, x, k: params[1].weights[k] * matrix_form(params, x)[1],
    ),
    "analysis.weighted_sum": Case(
        lambda params, x, k: analysis.weighted_sum(params, x, 2, k),
        neuron,
        lambda params, x, k: logits(params, x)[k],
    ),
    "analysis.saliency": Case(analysis.saliency, neuron),
    "analysis.maximizing_image": Case(
        lambda params, x, k: analysis.maximizing_image(params, x, 2, k, n_steps=3, rate=0.2),
        neuron,
        smooth=False,
    ),
    "analysis.maximizing_drawing": Case(
        with_key(
            lambda bits, params: analysis.maximizing_drawing(
                bits, params, 1, 0, n_drawings=1, n_steps=2
            )
        ),
        lambda rng: (key(rng), network(rng, (784, 2, 2))),
        **VALUES_ONLY,
        slow=True,
        roundings=4_000,
    ),
    "analysis.vote": Case(
        analysis.vote, lambda rng: (stacked(network(rng), network(rng)), rng.random(SIZES[0]))
    ),
    "analysis.auc": Case(
        analysis.auc, lambda rng: (rng.normal(size=6), np.arange(6) % 3 == 0), auc, smooth=False
    ),
    "analysis.edge_fit": Case(
        analysis.edge_fit, planted_edge, **VALUES_ONLY, slow=True, roundings=40_000
    ),
    "analysis.selectivity": Case(
        lambda params, images, labels: analysis.selectivity(
            params, images, labels[:, None] == np.arange(2)[None]
        ),
        lambda rng: (*batch(rng, n=4)[:2], np.arange(4, dtype=np.int32)),
        smooth=False,
    ),
    "analysis.silence_cost": Case(analysis.silence_cost, batch, smooth=False, slow=True),
    "analysis.component_fit": Case(
        with_key(lambda bits, params: analysis.component_fit(bits, params, n=64)),
        lambda rng: (key(rng), network(rng, (784, 2, 2))),
        **VALUES_ONLY,
        slow=True,
        roundings=400_000,  # a rounding may swap two images in the order of their activations
    ),
    "shuffle.shuffled": Case(with_key(partial(shuffle.shuffled, n=6)), only_key, **VALUES_ONLY),
    "shuffle.shuffled, without sorting": Case(
        with_key(partial(shuffle.shuffled, n=1_001)), only_key, **VALUES_ONLY
    ),
    "synthetic.draw": Case(
        with_key(synthetic.draw),
        lambda rng: (key(rng), rng.integers(10, dtype=np.int32)),
        **VALUES_ONLY,
        slow=True,
        roundings=400,  # of coordinates up to 28, which determine the ink
    ),
    "synthetic.sample": Case(
        with_key(partial(synthetic.sample, n=1)), only_key, **VALUES_ONLY, slow=True, roundings=400
    ),
    "synthetic.draw_component": Case(
        with_key(synthetic.draw_component),
        lambda rng: (key(rng), rng.integers(16, dtype=np.int32)),
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "synthetic.sample_components": Case(
        with_key(partial(synthetic.sample_components, n=1)),
        only_key,
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "synthetic.sample_with_components": Case(
        with_key(partial(synthetic.sample_with_components, n=1)),
        only_key,
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "synthetic.drawing": Case(
        synthetic.drawing,
        lambda rng: (rng.random(synthetic.N_NUMBERS), rng.integers(26, dtype=np.int32)),
        **VALUES_ONLY,
        slow=True,
        roundings=400,
    ),
    "augment.affine": Case(with_key(augment.affine), augmented, **VALUES_ONLY, slow=True),
    "augment.elastic": Case(
        with_key(partial(augment.elastic, smoothness=2.0)), augmented, **VALUES_ONLY, slow=True
    ),
    "augment.both": Case(with_key(augment.both), augmented, **VALUES_ONLY, slow=True),
    "design.region": Case(partial(design.region, length=4.0, width=2.0, side=8), place, x64=False),
    "design.edge": Case(partial(design.edge, length=4.0, width=2.0, side=8), place, x64=False),
    "design.edge_layer": Case(
        lambda *numbers: design.edge_layer(design.Edges(*numbers), side=8),
        edges,
        x64=False,
    ),
    "design.threshold": Case(
        design.threshold, lambda rng: (rng.normal(size=5), rng.normal(size=())), x64=False
    ),
    "design.layer": Case(
        lambda w, b: design.layer([design.Neuron(w, b), design.Neuron(-w, b)]),
        lambda rng: (rng.normal(size=5), rng.normal(size=())),
        lambda w, b: Layer(np.stack([w, -w]), np.stack([b, b])),
    ),
    "design.at_least": Case(partial(design.at_least, 2), wanted, **VALUES_ONLY),
    "design.all_of": Case(design.all_of, wanted, **VALUES_ONLY),
    "design.any_of": Case(design.any_of, wanted, **VALUES_ONLY),
    "design.none_of": Case(design.none_of, wanted, **VALUES_ONLY),
    "design.most_of": Case(design.most_of, wanted, **VALUES_ONLY),
}
