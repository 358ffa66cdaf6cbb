"""Moving pictures: their frames, as a reader of GIF sees them."""

import jax
import numpy as np
import pytest
from PIL import Image

import jaxnet
from jaxnet._util import palette
from jaxnet.plot import _animations as animations
from jaxnet.plot import _diagram as diagram
from tests.rendering import rendered

pytestmark = pytest.mark.compiled


def frames(path):
    with Image.open(path) as file:
        for n in range(file.n_frames):
            file.seek(n)
            yield np.asarray(file.convert("RGB")).astype(int), file.info["duration"]


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "flow.gif"
    x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
    animations.flow(path, jaxnet.pretrained(), x)
    return path, x, [*frames(path)]


def test_flow_duration_and_size(flow):
    path, _, seen = flow
    assert path.stat().st_size < 1_500_000
    assert 4_000 < sum(duration for _, duration in seen) < 12_000
    assert seen[-1][1] == 3000
    assert not [*path.parent.glob(".jaxnet*")]


def test_flow_ends_in_the_network_plot(flow):
    _, x, seen = flow
    figure = diagram.network(jaxnet.pretrained(), x)
    figure.set_dpi(animations._DPI)
    expected = coarse(rendered(figure))
    assert np.abs(coarse(seen[-1][0]) - expected).max() < 35  # its colors are fewer
    assert np.abs(coarse(seen[-2][0]) - expected).max() > 55


def coarse(frame):
    """The means of squares of pixels, which a shift by a part of a pixel hardly changes."""
    high, wide = (n // 12 for n in frame.shape[:2])
    return frame[: 12 * high, : 12 * wide].reshape(high, 12, wide, 12, 3).mean((1, 3))


def test_flow_order(flow):
    """The white in the right half comes after that in the middle."""
    _, _, seen = flow
    white = np.stack([(frame.min(2) > 240).sum(0) for frame, _ in seen[:-1]])  # frames, columns
    first, width = white[0], white.shape[1]
    lit = [(white[:, at] > first[at] + 3).argmax() for at in range(width)]
    columns = [at for at in range(width) if (white[:, at] > first[at] + 3).any()]
    times = [lit[at] for at in columns]
    assert len({*times}) >= 4
    assert times == sorted(times)


def test_flow_hides_the_answer(flow):
    """What says "predicted 7" is marked in yellow at the end, and nowhere before."""
    _, _, seen = flow
    yellow = [
        ((frame[:, -250:, 0] > 200) & (frame[:, -250:, 1] > 160) & (frame[:, -250:, 2] < 120)).sum()
        for frame, _ in seen
    ]
    assert yellow[-1] > 50
    assert max(yellow[:-1]) == 0


def test_weights_learning(tmp_path):
    w = np.zeros((3, 1, 9), np.float32)
    w[1], w[2] = 1, -2
    snapshots = [(jaxnet.Layer(part, np.zeros(1, np.float32)),) for part in w]
    animations.weights_learning(tmp_path / "w.gif", snapshots, colors="safe")
    seen = [*frames(tmp_path / "w.gif")]
    assert [duration for _, duration in seen] == [120, 120, 2120]
    blue, orange = (255 * hue for hue in palette.hues("safe"))
    middle = [frame[len(frame) // 2 - 30, frame.shape[1] // 2] for frame, _ in seen]
    for got, expected in zip(middle, (0 * blue, blue / 2, orange), strict=True):
        np.testing.assert_allclose(got, expected, atol=8)


def test_weights_of_different_shapes(tmp_path):
    nets = [jaxnet.init(jax.random.key(0), sizes) for sizes in ((4, 2), (9, 2))]
    for few, says in (
        (nets, r"got 2, of \(2, 4\) and \(2, 9\)"),
        (nets[:1], "got 1"),
        ([], "got 0"),
    ):
        with pytest.raises(ValueError, match=f"two or more networks.*{says}"):
            animations.weights_learning(tmp_path / "w.gif", few)
    assert not [*tmp_path.iterdir()]
