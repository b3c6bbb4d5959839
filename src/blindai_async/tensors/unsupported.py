"""In words: what a model takes or gives that has no place on the wire, and what to do about it."""

from __future__ import annotations

from blindai_async.tensors.dtypes import TABLE

__all__ = ["unsupported_type"]

_KNOWN = ", ".join(row.name for row in TABLE.values())


def unsupported_type(role: str, name: str, kind: str) -> str:
    """Say that an input or output cannot travel, and how to export the model without it.

    Args:
        role: "input" or "output".
        name: its name in the model.
        kind: its type as ONNX Runtime writes it: ``tensor(float16)``, ``tensor(string)``,
            ``seq(map(int64,tensor(float)))``.
    """
    return (
        f"its {role} {name!r} is {kind}, which cannot travel (what can: {_KNOWN}); {_advice(kind)}"
    )


def _advice(kind: str) -> str:
    if not kind.startswith("tensor("):
        return (
            "only dense tensors travel: convert a scikit-learn classifier with zipmap=False "
            "(skl2onnx: options={'zipmap': False}), or cut the model before it"
        )
    if "string" in kind:
        return "cut the model before it, or give numbers in its place"
    if "float" in kind:
        return "export the model with float32 inputs and outputs, or add Cast nodes at its ends"
    return "add a Cast node to one of those types"
