"""Fits the three numbers of `jaxnet.inference.confidence`: python -m tests.calibration

By logistic regression, on the trained network's answers to the 5,000 validation images of MNIST, of
which training saw none, and to 1,500 drawings that show no digit.
"""

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression

import jaxnet
from jaxnet.data import find_digits, load_mnist
from tests import scenes

N_OTHERS = 1_500


def answered(digits: np.ndarray, labels: np.ndarray, others_seed: int):
    """Activations for digits and for what is none, and whether each answer is right."""
    first = [find_digits(picture).images[0] for picture in scenes.no_digits(others_seed, N_OTHERS)]
    params = jaxnet.pretrained()
    images = np.concatenate([digits / np.float32(255), np.stack(first)])
    answers = jaxnet.classify(params, images)
    known = np.concatenate([labels, np.full(N_OTHERS, -1)])
    return answers.activations, answers.digits == known


def main() -> None:
    """Prints the numbers."""
    images, labels = load_mnist("train")
    activations, right = answered(images[-5000:], labels[-5000:], 0)
    a = np.sort(activations.astype(float), 1).clip(1e-7, 1 - 1e-7)
    logits = np.log(a) - np.log1p(-a)
    fitted = LogisticRegression(C=1e4).fit(logits[:, [-1, -2]], right)
    brightest, second = fitted.coef_[0]
    print(f"brightest {brightest:.2f}, second {second:.2f}, none {fitted.intercept_[0]:.2f}")


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
