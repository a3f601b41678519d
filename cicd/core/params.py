"""A run's parameters against what its pipeline declares."""

import re
from collections.abc import Mapping

from cicd.errors import UserError
from cicd.messages.pipeline import ParamSpec, ParamType, PipelineSpec

LIMIT_BYTES = 32 * 1024
"""Most bytes of all values together: they have to fit into each RunJob, beside the outputs of other jobs."""

# What every SDK's language reads alike: Python's int() takes "1_0" and " 1 " too, others do not.
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def resolve(spec: PipelineSpec, given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every parameter: what was given, else its default. A parameter with neither is left out.

    Raises:
        UserError: code `params`; every fault at once: unknown, missing, of the wrong type, not among the choices.
    """
    declared = {param.name: param for param in spec.params}
    faults = [f"no parameter {name!r} (there {_are(list(declared))})" for name in given if name not in declared]
    values: dict[str, str] = {}
    for param in spec.params:
        text = given.get(param.name, param.default)
        if text is None:
            if param.required:
                faults.append(f"parameter {param.name!r} is required")
            continue
        fault = value_fault(param, text)
        if fault:
            faults.append(fault)
        values[param.name] = text
    size = sum(len(text.encode()) for text in values.values())
    if size > LIMIT_BYTES:
        faults.append(f"the parameters are {size} bytes, over the limit of {LIMIT_BYTES}")
    if faults:
        raise UserError("; ".join(faults), code="params")
    return values


def value_fault(param: ParamSpec, text: str) -> str:
    """Return what is wrong with a value, in words; empty: nothing."""
    if not _is_of_type(param.type, text):
        return f"parameter {param.name!r}: {text!r} is not of type {param.type}"
    if param.choices and text not in param.choices:
        return f"parameter {param.name!r}: {text!r} is none of {', '.join(param.choices)}"
    return ""


def _is_of_type(kind: ParamType, text: str) -> bool:
    if kind is ParamType.BOOL:
        return text in ("true", "false")
    if kind is ParamType.INT:
        return _INT.fullmatch(text) is not None
    return kind is ParamType.STRING or _FLOAT.fullmatch(text) is not None


def _are(names: list[str]) -> str:
    return f"are: {', '.join(names)}" if names else "are none"
