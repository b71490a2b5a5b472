"""Fields whose keys are the client's own words: an error in one names the field alone, because a key may tell of a person."""

from typing import Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError


def nameless() -> WrapValidator:
    """For ``Annotated``: what is wrong inside is told without the key and as an error of the field itself."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = "A key: " if "[key]" in first["loc"] else "A value: " if first["loc"] else ""
            raise PydanticCustomError("nameless", "{told}", {"told": where + first["msg"]}) from None

    return WrapValidator(check)
