"""What is kept in files: networks, and what they read."""

from jaxnet.formats import answers as answers
from jaxnet.formats import safetensors as safetensors
