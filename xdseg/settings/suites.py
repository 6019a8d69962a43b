"""Where a suite comes from, as `suites:` in params.yaml says it."""

from typing import Annotated, Literal

from pydantic import Field

from xdseg.data.streetworld.settings import Streetworld
from xdseg.settings.base import Settings


class FolderSuite(Settings):
    """Photographs with labels in the folder layout, read in place and never written to."""

    kind: Literal["folder"]
    root: str = Field(description="folder with suite.json; a relative one lies below $XDSEG_DATA")
    present: dict[str, tuple[str, ...]] = Field({}, description="per domain: the classes that its labels know")
    groups: dict[str, str] = Field({}, description="per domain: pattern whose first group names the recording")
    redistribute: bool = Field(False, description="may committed pages show its images?")


class PublicDomain(Settings):
    """One domain of a public suite: a data set, or a part of one, as extracted from its downloads."""

    dataset: str = Field(description="name from `xdseg datasets`")
    root: str | None = Field(None, description="folder; a relative one lies below $XDSEG_DATA; default: the name")
    part: str | None = Field(None, description="condition or region, where the data set has such; default all")
    label_map: str | None = Field(None, description="which reading of the raw ids, where several are in use")
    lists: dict[str, str] = Field({}, description="per split: file that lists its images; default ROOT/SPLIT.txt")
    counts: dict[str, int] = Field({}, description="per split: images to expect instead of the published number")


class PublicSuite(Settings):
    """Public data sets that share a label space, read where they were extracted."""

    kind: Literal["public"]
    like: str | None = Field(None, description="public suite whose domains this one takes over, but for its own")
    classes: str = Field(description="label space, such as cityscapes or cityscapes-16")
    domains: dict[str, PublicDomain]

    @property
    def redistribute(self) -> bool:
        """Their licences do not let committed pages show them."""
        return False


class GeneratedSuite(Settings):
    """Street scenes drawn from a seed; nothing to download."""

    kind: Literal["streetworld"]
    generator: Streetworld = Streetworld()

    @property
    def redistribute(self) -> bool:
        """Generated images are ours to show."""
        return True


Suite = Annotated[FolderSuite | PublicSuite | GeneratedSuite, Field(discriminator="kind")]
