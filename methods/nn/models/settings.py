"""Settings that come from a command line or a file are checked by what their dataclass says of them."""

from __future__ import annotations

from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from bench.errors import BenchError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Size = PositiveInt

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_OTHER_LENGTH = {"missing": "a longer list", "too_long": "a shorter list"}


def check_settings(settings: Any) -> None:
    """Refuse values of another type than a frozen dataclass declares; lists, as JSON has them, become tuples.

    Raises
    ------
    BenchError
        At the first value that will not do.
    """
    for name, kind in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(settings, name, value)
        try:
            TypeAdapter(kind, config=_STRICT).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            wanted = _OTHER_LENGTH.get(first["type"]) or first["msg"].removeprefix("Input should be ")
            raise BenchError(
                f"{name} must be {wanted}, got {value!r}", where="settings", fix="give such a value"
            ) from None
