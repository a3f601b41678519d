"""A run's parameters against what its pipeline declares."""

from collections.abc import Mapping

from cicd.errors import UserError
from cicd.messages.pipeline import ParamSpec, ParamType, PipelineSpec


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
    if kind is ParamType.STRING:
        return True
    try:
        int(text) if kind is ParamType.INT else float(text)
    except ValueError:
        return False
    return True


def _are(names: list[str]) -> str:
    return f"are: {', '.join(names)}" if names else "are none"
