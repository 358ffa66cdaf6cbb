"""GIF animations: the forward pass layer by layer, and weights during training."""

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from jaxnet import network
from jaxnet._util import palette
from jaxnet._util.files import replacing
from jaxnet.network import Params, Squash
from jaxnet.plot import _canvas, _diagram
from jaxnet.plot._canvas import FAINT, FigureCanvasAgg, Image, Sheet, to_rgb
from jaxnet.plot._tiles import tiled, tiles

_DPI = 70
_STEPS = 5  # frames in which a layer lights up, and as many for the weights behind it


def flow(
    path: str | os.PathLike[str],
    params: Params,
    x: network.Image,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    colors: str = "video",
) -> None:
    """Writes a GIF in which an image lights up layer after layer.

    It is the picture of `jaxnet.plot.network`, where the weights that the image passes
    light up in their turn.

    Args:
        path: where to write; by custom it ends in `.gif`. It appears whole or not at all.
        params, x, squash, last_squash, colors: as for `jaxnet.plot.network`.

    Raises:
        TypeError, ValueError: what `jaxnet.plot.network` refuses.
        OSError: the file cannot be written.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "flow.gif")
        >>> params = jaxnet.init(jax.random.key(0), (4, 3, 2))
        >>> jaxnet.plot.flow(path, params, jax.numpy.ones(4))
        >>> path.read_bytes()[:6]
        b'GIF89a'
    """
    drawn = _diagram.draw(params, x, squash, last_squash, 16, colors, None)
    (*_, outputs), title = drawn.neurons, drawn.figure.get_suptitle()
    fills = [np.asarray(discs.get_facecolor()) for discs in drawn.neurons]
    hues = [np.asarray(lines.get_color()) for lines in drawn.edges]
    outlines, widths = outputs.get_edgecolor(), outputs.get_linewidth()
    answers = [text.get_color() for text in drawn.answers]

    def shine(n: int, light: float) -> None:
        drawn.neurons[n].set_facecolor([*(fills[n] * [light, light, light, 1])])

    def glow(n: int, light: float) -> None:
        drawn.edges[n].set_color([*(hues[n] * [1, 1, 1, light])])

    def frames() -> Iterator[Image.Image]:
        for n in range(len(fills)):
            shine(n, 0)
        for n in range(len(hues)):
            glow(n, 0.2)
        outputs.set(edgecolor=FAINT, linewidth=0.7)
        for text in drawn.answers:
            text.set_color(_canvas.BACKGROUND)
        _canvas.caption(drawn.figure, title.split(":")[0])
        for n in range(len(fills)):
            for light in np.linspace(0, 1, _STEPS):
                shine(n, light)
                if n > 0:
                    glow(n - 1, 1 - 0.6 * light)
                yield _frame(drawn.figure)
            for light in np.linspace(0.2, 1, _STEPS) if n < len(hues) else ():
                glow(n, light)
                yield _frame(drawn.figure)
        for n in range(len(hues)):
            glow(n, 1)
        outputs.set(edgecolor=outlines, linewidth=widths)
        for text, color in zip(drawn.answers, answers, strict=True):
            text.set_color(color)
        _canvas.caption(drawn.figure, title)
        yield _frame(drawn.figure)

    _write(path, frames(), colors, milliseconds=90, at_the_end=3000)


def weights_learning(
    path: str | os.PathLike[str],
    snapshots: Sequence[Params],
    *,
    milliseconds: int = 120,
    colors: str = "video",
) -> None:
    """Writes a GIF of the first layer's weights during training.

    Args:
        path: as for `flow`.
        snapshots: the network at one time after another, two or more, all of the same sizes.
        milliseconds: duration of each frame; the last is shown for two more seconds.
        colors: "video" or "safe".

    Raises:
        ValueError: fewer than two, of different sizes, or not finite.
        OSError: the file cannot be written.

    Example:
        >>> import jax, pathlib, tempfile, jaxnet
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.gif")
        >>> jaxnet.plot.weights_learning(path, [jaxnet.init(key, (9, 4, 2)) for key in keys])
        >>> path.read_bytes()[:6]
        b'GIF89a'
    """
    layers = [np.asarray(params[0][0], float) for params in snapshots]
    sizes = {w.shape for w in layers}
    if len(layers) < 2 or len(sizes) > 1:
        got = " and ".join(map(str, sorted(sizes)))
        raise ValueError(
            "Expected two or more networks, whose first weights are of one shape; got "
            f"{len(layers)}{', of ' * bool(sizes)}{got} instead."
        )
    palette.scale(layers)  # refuses what is not finite in any of them
    full = palette.scale(layers[-1])
    largest = max(np.abs(w).max() for w in layers)
    names = [str(n) for n in range(len(layers[0]))]
    figure, ax = tiles(None, layers[-1], names, lambda ax, g: _canvas.raster(ax, g, full, colors))
    _canvas.scale_bar(ax, full, colors, "weight", largest=largest)

    def frames() -> Iterator[Image.Image]:
        for n, w in enumerate(layers):
            ax.images[0].set_data(tiled(w)[0])
            _canvas.caption(
                figure, f"The weights of layer 1 as they learn: {n} of {len(layers) - 1}"
            )
            yield _frame(figure)

    _write(path, frames(), colors, milliseconds=milliseconds, at_the_end=milliseconds + 2000)


def _frame(figure: Sheet) -> Image.Image:
    """The current drawing as pixels; the first frame fixes the layout."""
    whole = _canvas.whole(figure)
    whole.set_dpi(_DPI)
    agg = FigureCanvasAgg(whole)
    agg.draw()
    whole.set_layout_engine("none")
    return Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3])


def _write(
    path: str | os.PathLike[str],
    frames: Iterable[Image.Image],
    colors: str,
    *,
    milliseconds: int,
    at_the_end: int,
) -> None:
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(colors).tobytes())
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    with replacing(path) as file:
        first.save(
            file,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[milliseconds] * len(others) + [at_the_end],
            loop=0,
        )


def _palette(colors: str) -> NDArray[np.uint8]:
    """The palette of a GIF: grays, and blends of the hues with black and the background."""
    share = np.linspace(0, 1, 32)[:, None]
    sheet, mark = (np.array(to_rgb(color)) for color in (_canvas.BACKGROUND, _canvas.MARK))
    hues = palette.hues(colors)
    ramps = [np.linspace(0, 1, 48)[:, None] * np.ones(3), sheet + share * (mark - sheet)]
    ramps += [share * hue for hue in hues] + [sheet + share * (hue - sheet) for hue in hues]
    return (255 * np.concatenate(ramps)).round().astype(np.uint8)
