"""Pictures of results: counts, misclassified images and curves equal to what NumPy finds."""

import jax
import numpy as np
import pytest

import jaxnet
from jaxnet._util import palette
from jaxnet.plot import _results as results
from tests.rendering import assert_tidy, texts


@pytest.fixture(scope="module")
def drawn():
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
    return np.asarray(images), jaxnet.classify(jaxnet.pretrained(), images), np.asarray(labels)


def answers(digits, activations=None):
    digits = np.array(digits)
    return jaxnet.Answers(digits, np.eye(3)[digits] if activations is None else activations)


def test_confusion_matrix():
    figure = results.confusion(answers([0, 0, 1, 2, 2, 2]), np.array([0, 0, 1, 1, 2, 0]))
    ax = figure.axes[0]
    counts = {text.get_position(): text.get_text() for text in ax.texts}
    assert counts == {(0, 0): "2", (2, 0): "1", (1, 1): "1", (2, 1): "1", (2, 2): "1"}
    assert figure.get_suptitle() == "4 of 6 correct, 66.67 %"
    rgb = ax.images[0].get_array()
    blue, orange = palette.hues("safe")
    np.testing.assert_allclose(rgb[0, 0], 2 / 3 * blue)
    np.testing.assert_allclose(rgb[1, 2], orange)  # half of a row, the worst mistake
    np.testing.assert_allclose(rgb[2, 0], 0)
    assert "misclassified, brightest at 50 %" in figure.get_supxlabel()


@pytest.mark.compiled
def test_confusion_matrix_of_the_trained_network(drawn):
    _, read, labels = drawn
    counts = np.zeros((10, 10), int)
    for label, digit in zip(labels, read.digits, strict=True):
        counts[label, digit] += 1
    figure = results.confusion(read, labels)
    shown = np.zeros((10, 10), int)
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        shown[row, column] = int(text.get_text().replace(",", ""))
    np.testing.assert_array_equal(shown, counts)
    assert_tidy(figure)


def test_misclassified_order():
    images = np.stack([np.full(4, value, np.uint8) for value in (0, 51, 102, 153)])
    sure = np.array([[0, 0.6, 0], [0.9, 0, 0], [0, 0, 1.0], [0, 0.7, 0]])
    figure = results.misclassified(images, answers([1, 0, 2, 1], sure), np.array([0, 1, 2, 2]))
    assert texts(figure) == ["[1] 0, is 1", "[3] 1, is 2", "[0] 1, is 0"]
    shades = figure.axes[0].images[0].get_array()[:, :, 0]
    assert [shades[0, 0], shades[0, 3], shades[0, 6]] == pytest.approx([0.2, 0.6, 0])
    assert figure.get_suptitle() == "3 of 4 images misclassified"


@pytest.mark.compiled
def test_many_and_no_misclassified(drawn):
    images, read, labels = drawn
    wrong = (labels + 1) % 10
    figure = results.misclassified(images, read, wrong)
    n = (read.digits != wrong).sum()
    assert texts(figure)[-1] == f"⋮\n{n - 99} more"
    assert_tidy(figure)
    figure = results.misclassified(images, read, read.digits)
    assert figure.get_suptitle() == "0 of 2,000 images misclassified"


@pytest.mark.parametrize("n", [1, 4, 7])
def test_few_misclassified(drawn, n):
    images, read, labels = drawn
    labels = (labels[:n] + 5) % 10
    few = jaxnet.Answers(read.digits[:n], read.activations[:n])
    figure = results.misclassified(images[:n], few, labels)
    assert_tidy(figure)
    wrong = int((few.digits != labels).sum())
    assert figure.get_suptitle() == f"{wrong} of {n} images misclassified"
    pairs = {(int(text[-7]), int(text[-1])) for text in texts(figure)}  # "[n] 0, is 5"
    assert pairs <= {*zip(few.digits.tolist(), labels.tolist(), strict=True)}
    assert len(texts(figure)) == wrong


def test_learning_curves():
    cost = np.array([[2.0, 4.0, 9.0], [1.0, 2.0, np.nan]])
    right = np.array([[0.5, 0.25, 0], [0.75, 0.5, 1]])
    metrics = {"accuracy": right}
    score = jaxnet.training.Score(2 * cost, metrics)
    history = jaxnet.training.History(cost, metrics, score)
    left, other = results.learning_curves(history).axes
    np.testing.assert_array_equal(left.lines[3].get_ydata(), [4, 1.5])  # the medians
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [2, 1])
    np.testing.assert_array_equal(left.lines[-1].get_ydata(), [8, 3])
    np.testing.assert_array_equal(other.lines[-1].get_ydata(), [0.75, 0.375])  # without a zero
    assert [t.get_text() for t in other.get_legend().get_texts()] == [
        "training images",
        "validation images",
    ]
    assert left.get_yscale() == other.get_yscale() == "log"


def test_bad_labels_and_images():
    two = answers([0, 1])
    for labels, says in (
        ([0], r"a label for each answer, one at least; got int64 of shape \(1,\) for 2"),
        ([0, 3], "labels from 0 to 2; got 0 to 3"),
        ([-1, 0], "labels from 0 to 2; got -1 to 0"),
        ([0.0, 1.0], "got float64"),
    ):
        with pytest.raises(ValueError, match=says):
            results.confusion(two, np.array(labels))
    with pytest.raises(ValueError, match="one at least"):
        results.confusion(answers(np.zeros(0, int)), np.zeros(0, int))
    with pytest.raises(ValueError, match=r"images of shape \(2, pixels\); got \(3, 4\)"):
        results.misclassified(np.zeros((3, 4)), two, np.array([1, 0]))
