"""What a network sees and says, for people's eyes."""

from jaxnet.show.pages import Page as Page
from jaxnet.show.pages import page as page
