"""What a run can be given: declared params, and their values from text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cicd_sdk.errors import ParamError, PipelineError

Scalar = str | int | float | bool

_TYPES: tuple[type[Any], ...] = (str, int, float, bool)
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Param:
    """A param of a pipeline.

    Args:
        name: as it is given with `-p name=value`.
        type: `str`, `int`, `float` or `bool`. Without it, the type of the default or of the first choice, else `str`.
        default: its value when a run does not give one.
        choices: the only values that are allowed.
        required: whether a run has to give it; by default when it has no default. A param that is neither given nor
        has a
            default is None.
        secret: whether its value is kept out of what people see.
        description: for people.

    Raises:
        PipelineError: these do not fit together.
    """

    __slots__ = ("choices", "default", "description", "name", "required", "secret", "type")

    def __init__(
        self,
        name: str,
        *,
        type: type[Scalar] | None = None,  # noqa: A002 - the word that authors expect
        default: Scalar | None = None,
        choices: Sequence[Scalar] = (),
        required: bool | None = None,
        secret: bool = False,
        description: str = "",
    ) -> None:
        if not isinstance(name, str) or not name or "=" in name or name != name.strip():
            raise PipelineError(f"param {name!r}: a name is a text without = and without spaces around it")
        example = default if default is not None else next(iter(choices), None)
        inferred = str if example is None else example.__class__
        self.name = name
        # Any: the class has an attribute called `type`, so the annotation cannot name the builtin.
        self.type: Any = inferred if type is None else type
        if self.type not in _TYPES:
            shown = getattr(self.type, "__name__", repr(self.type))
            raise PipelineError(f"param {name!r}: its type has to be str, int, float or bool, not {shown}")
        self.default = None if default is None else self._checked(default)
        self.choices = tuple(self._checked(choice) for choice in choices)
        if self.choices and self.default is not None and self.default not in self.choices:
            raise PipelineError(f"param {name!r}: its default {self.default!r} is not one of its choices")
        self.required = default is None if required is None else required
        self.secret = secret
        self.description = description

    def _checked(self, value: Scalar) -> Scalar:
        if self.type is float and value.__class__ is int:
            return float(value)
        if value.__class__ is not self.type:
            raise PipelineError(f"param {self.name!r}: {value!r} is no {self.type.__name__}")
        return value

    def parse(self, text: str) -> Scalar:
        """Return the value that a text stands for.

        Raises:
            ParamError: it is none of this type, or not one of the choices.
        """
        value = self._parse(text)
        if value is None:
            raise ParamError(f"param {self.name!r}: {self._shown(text)} is no {self.type.__name__}")
        if self.choices and value not in self.choices:
            choices = ", ".join(as_text(choice) for choice in self.choices)
            raise ParamError(f"param {self.name!r}: {self._shown(text)} is not one of {choices}")
        return value

    def _shown(self, text: str) -> str:
        return "what was given" if self.secret else repr(text)

    def _parse(self, text: str) -> Scalar | None:
        if self.type is str:
            return text
        if self.type is bool:
            return _BOOLS.get(text.strip().lower())
        try:
            value: int | float = self.type(text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None


def as_text(value: Scalar) -> str:
    """Return a value as it travels: bools as "true" and "false".

    Raises:
        TypeError: it is no str, int, float or bool.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"{value!r} is no str, int, float or bool, but {type(value).__name__}")


class Params(dict[str, Any]):
    """The params of a run by name, each of its declared type. A wrong name tells the right ones."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"this pipeline has no param {name!r}; it has: {', '.join(self) or 'none'}")


def resolve(params: Iterable[Param], given: Mapping[str, str]) -> Params:
    """Return the value of every declared param of a run.

    Args:
        params: those declared.
        given: texts by name.

    Raises:
        ParamError: a name is unknown, a required one is missing, a value does not fit; all of these at once.
    """
    declared = {param.name: param for param in params}
    wrong = [f"there is no param {name!r} ({_known(declared)})" for name in given if name not in declared]
    values = Params()
    for name, param in declared.items():
        if name in given:
            try:
                values[name] = param.parse(given[name])
            except ParamError as error:
                wrong.append(str(error))
        elif param.required and param.default is None:
            wrong.append(f"param {name!r} is required")
        else:
            values[name] = param.default
    if wrong:
        raise ParamError("; ".join(wrong))
    return values


def _known(declared: Mapping[str, Param]) -> str:
    return f"there are: {', '.join(declared)}" if declared else "this pipeline takes none"
