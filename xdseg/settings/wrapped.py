"""A segmenter inside another one's settings, written as an entry of `segmenters:` is: its kind, and its own settings.

What it resolves to is looked up when settings are read, as plugins may have registered the kind by then.
"""

from typing import Any

from pydantic import SerializationInfo, SerializeAsAny, ValidationError, model_serializer, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from xdseg.settings.base import Settings

INNER = "inner"  # name of the setting that holds one


class Wrapped(Settings):
    """`{kind: daformer, channels: 128}`: a registered segmenter, and settings of its class.

    Written out as it is read; `identity` leaves out what is the inner kind's default.
    """

    kind: str
    settings: SerializeAsAny[Settings]

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        kind, model = entry.get("kind"), _settings_of(entry.get("kind"))
        own = {key: value for key, value in entry.items() if key != "kind"}
        try:
            return {"kind": kind, "settings": model.model_validate(own)}
        except ValidationError as error:
            raise _with_known_keys(error, model) from None

    @model_serializer(mode="plain")
    def _as_read(self, info: SerializationInfo) -> dict[str, Any]:
        own = self.settings.model_dump(mode=info.mode, exclude_defaults=bool(info.exclude_defaults))
        return {"kind": self.kind} | own


def _settings_of(kind: Any) -> type[Settings]:
    """Raises ValidationError at the key `kind` for what no segmenter is called."""
    from xdseg.registry import SEGMENTERS  # which declares the settings that hold this class

    if isinstance(kind, str) and kind in SEGMENTERS:
        return SEGMENTERS[kind].settings
    unknown = PydanticCustomError("unknown_name", "unknown segmenter", {"known": list(SEGMENTERS)})
    fault = InitErrorDetails(type=unknown if isinstance(kind, str) else "string_type", loc=("kind",), input=kind)
    raise ValidationError.from_exception_data(Wrapped.__name__, [fault])


def _with_known_keys(error: ValidationError, model: type[Settings]) -> ValidationError:
    """The same faults; an unknown key of the inner settings is told with the keys that there are."""
    details = []
    for fault in error.errors():
        kind, place, context = fault["type"], fault["loc"], fault.get("ctx", {})
        if kind == "extra_forbidden":
            context = {"known": _keys(model, place[:-1])}
        said = PydanticCustomError(kind, fault["msg"], context)
        details.append(InitErrorDetails(type=said, loc=place, input=fault["input"]))
    return ValidationError.from_exception_data(Wrapped.__name__, details)


def _keys(model: Any, location: tuple) -> list[str]:
    """Names of the fields of the settings at `location`; none where it leads to no single class."""
    for part in location:
        inner = getattr(model, "model_fields", {}).get(part)
        model = inner and inner.annotation
    return list(getattr(model, "model_fields", ()))
