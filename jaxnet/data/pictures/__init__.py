"""Pictures of digits: photos and scans of any size, in which each digit is found and framed.

    x = read_image("photo.jpg")         # the only digit, shape (784,)
    digits = read_digits("form.png")    # as many as there are, in reading order, with their boxes

The digits are found among what surrounds them: the desk under the sheet, shadows, frames, form
cells, ruled and squared lines, dust. Each is brought into MNIST's form, with a pen of MNIST's
width. A picture of the network's own size is used as it is.
"""

from jaxnet.data.pictures._files import read_digits as read_digits
from jaxnet.data.pictures._files import read_image as read_image
from jaxnet.data.pictures._find import Digits as Digits
from jaxnet.data.pictures._find import as_mnist as as_mnist
from jaxnet.data.pictures._find import find_digits as find_digits
