"""Made-up galleries for the tests, and a page around one."""

from jinja2 import DictLoader

from lightning_c3l.report.gallery import Gallery, GalleryPair
from lightning_c3l.report.templating import page_environment
from lightning_c3l.report.thumbnails import ImageReader, thumbnails
from tests.report.samples import grey

_PAGE = """{% extends "base.html" %}{% from "gallery.html" import gallery %}
{% block title %}gallery{% endblock %}{% block main %}{{ gallery(shown, images) }}{% endblock %}"""


def gallery_page(pairs: list[GalleryPair], read_image: ImageReader = grey) -> str:
    """A page with nothing but a gallery."""
    template = page_environment(DictLoader({"page.html": _PAGE})).get_template("page.html")
    return template.render(shown=Gallery(pairs), images=thumbnails(read_image))
