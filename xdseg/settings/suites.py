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


class GeneratedSuite(Settings):
    """Street scenes drawn from a seed; nothing to download."""

    kind: Literal["streetworld"]
    generator: Streetworld = Streetworld()

    @property
    def redistribute(self) -> bool:
        """Generated images are ours to show."""
        return True


Suite = Annotated[FolderSuite | GeneratedSuite, Field(discriminator="kind")]
