"""Images of digits: MNIST, files, photos, and synthetic digits."""

from jaxnet.data import augment as augment
from jaxnet.data import mnist as mnist
from jaxnet.data import pictures as pictures
from jaxnet.data import synthetic as synthetic
from jaxnet.data._arrays import transpose as transpose
from jaxnet.data._idx import read_idx as read_idx
from jaxnet.data._idx import write_idx as write_idx
from jaxnet.data._inputs import Inputs as Inputs
from jaxnet.data._inputs import open_inputs as open_inputs
from jaxnet.data._load import Source as Source
from jaxnet.data._load import read_images as read_images
from jaxnet.data._load import read_labels as read_labels
from jaxnet.data.mnist import load_mnist as load_mnist
from jaxnet.data.pictures import Digits as Digits
from jaxnet.data.pictures import as_mnist as as_mnist
from jaxnet.data.pictures import find_digits as find_digits
from jaxnet.data.pictures import read_digits as read_digits
from jaxnet.data.pictures import read_image as read_image
