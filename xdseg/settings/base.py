"""What all settings share: unknown keys are errors, values do not change, defaults stay out of identities."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all typed settings.

    A number such as `6e-5`, which YAML 1.1 reads as text, is taken as the number it says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """The settings that differ from their declared default: what a fingerprint contains.

        A new setting with a default therefore moves no old fingerprint; whoever changes a default raises the
        version of the component (see `xdseg.versions`).
        """
        return self.model_dump(mode="json", exclude_defaults=True)
