"""What pictures are held against: their texts, their pixels, their tidiness."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def rendered(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def pixels(figure, ax, shape):
    """The colors, as rendered, in the middle of each cell of an axes' image."""
    seen = rendered(figure)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    places = ax.transData.transform(np.stack([columns.ravel(), rows.ravel()], 1)).astype(int)
    return seen[len(seen) - 1 - places[:, 1], places[:, 0]].reshape(*shape, 3)


def assert_tidy(figure):
    """Every text lies within the sheet, and no two texts cover each other."""
    rendered(figure)
    shown = [*figure.texts]
    for ax in figure.axes:
        shown += [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        shown += [t for axis in (ax.xaxis, ax.yaxis) for t in axis.get_ticklabels(which="both")]
    boxes = [
        (t.get_window_extent(), t.get_text()) for t in shown if t.get_visible() and t.get_text()
    ]
    for n, (box, text) in enumerate(boxes):
        assert min(box.x0, box.y0) >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
        assert box.y1 <= figure.bbox.height + 1, text
        for other, over in boxes[n + 1 :]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            up = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, up) <= 2, (text, over)
