"""Images of digits: from MNIST, from files, from photos, and drawn by the program itself."""

from jaxnet.data import idx as idx
from jaxnet.data import images as images
from jaxnet.data import inputs as inputs
from jaxnet.data import mnist as mnist
from jaxnet.data import npy as npy
from jaxnet.data import parquet as parquet
from jaxnet.data import rows as rows
from jaxnet.data import sources as sources
from jaxnet.data import stored as stored
from jaxnet.data import strokes as strokes
from jaxnet.data import warp as warp
from jaxnet.data.idx import read_idx as read_idx
from jaxnet.data.idx import write_idx as write_idx
from jaxnet.data.images import as_mnist as as_mnist
from jaxnet.data.images import read_image as read_image
from jaxnet.data.inputs import open_inputs as open_inputs
from jaxnet.data.mnist import load_mnist as load_mnist
from jaxnet.data.sources import Source as Source
from jaxnet.data.sources import read_images as read_images
from jaxnet.data.sources import read_labels as read_labels
