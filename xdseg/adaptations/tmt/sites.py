"""Which attentions TMA leads, and which maps ACTE reads there."""

from xdseg.errors import BadInput
from xdseg.segmenters.contract import Description, MapSpec, Site
from xdseg.settings.tmt import Tma


def chosen_sites(description: Description, settings: Tma) -> list[Site]:
    """Sites of the last blocks, of a mask decoder's queries, or both; none of a segmenter without attention.

    Raises BadInput for sites that are asked for and not there, or where a steer sees no map.
    """
    own = [site for site in description.sites if site.kind == "self"][-settings.blocks :]
    cross = [site for site in description.sites if site.kind == "cross"]
    if settings.site == "decoder" and not cross:
        raise BadInput("tmt.tma.site: decoder, but no queries of this segmenter attend to a map; set encoder")
    found = {"encoder": own, "decoder": cross, "both": [*own, *cross]}[settings.site]
    if blind := [site.name for site in found if site.reads is None]:
        raise BadInput(f"tmt.tma.blocks: {settings.blocks} reach {blind[0]}, which sees no map; set fewer")
    return found


def read_maps(description: Description, sites: list[Site]) -> dict[str, MapSpec]:
    """Maps that ACTE reads: those of the sites, else the last one that is described."""
    specs = [site.reads for site in sites] or [description.maps[-1]]
    return {spec.name: spec for spec in specs}
