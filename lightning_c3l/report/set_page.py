"""The page about an instruction-tuning set: what was scored or selected, as one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from lightning_c3l.report.gallery import Gallery, GalleryPair
from lightning_c3l.report.templating import FigureTable, page_environment
from lightning_c3l.report.thumbnails import ImageReader, thumbnails


@dataclass(frozen=True)
class SetPage:
    """What the page shows, in this order; what is empty is left out.

    Attributes:
        name: of the set.
        sentence: what it is.
        facts: how it was made, by name.
        charts: charts with their captions.
        tables: figures and counts.
        pairs: single answers.
        meanings: one sentence about each section of the pairs.
    """

    name: str
    sentence: str
    facts: Mapping[str, str] = field(default_factory=dict)
    charts: Sequence[tuple[Markup, str]] = ()
    tables: Sequence[FigureTable] = ()
    pairs: Sequence[GalleryPair] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)


def render_set_page(page: SetPage, read_image: ImageReader) -> str:
    """The whole page.

    Args:
        page: what it shows.
        read_image: the RGB image of a key, None where it cannot be had; only images that are shown are asked for.

    Returns:
        One HTML document, to be written as UTF-8.
    """
    template = page_environment().get_template("set_page.html")
    return template.render(page=page, gallery=Gallery(page.pairs, page.meanings), images=thumbnails(read_image))
