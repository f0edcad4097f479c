"""Values with names of other values in braces: ``"{distance + 0.75} mm"``; arithmetic only, nothing of Python's."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

Values = Mapping[str, float | str]

_BRACES = re.compile(r"\{([^{}]*)\}")
_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARED: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "abs": abs, "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "sin": math.sin,
    "cos": math.cos, "round": round,
}  # fmt: skip
_LONGEST = 400


def evaluate(expression: str, values: Values) -> float | str:
    """What ``expression`` comes to; raises ValueError with a sentence.

    >>> evaluate("1.5 if size < 20 else 2 * size", {"size": 30.0})
    60.0
    """
    if len(expression) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        result = _value(tree.body, values)
    except (SyntaxError, RecursionError):
        raise ValueError(f"'{expression}' cannot be read as arithmetic") from None
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"'{expression}' cannot be computed: {error}") from None
    if isinstance(result, str):
        return result
    number = float(result)
    if not math.isfinite(number):
        raise ValueError(f"'{expression}' is no finite number")
    return number


def _value(node: ast.AST, values: Values) -> Any:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case ast.Name(id=name):
            if name not in values:
                raise ValueError(f"'{name}' is nothing that varies; there are: {', '.join(values) or 'none'}")
            return values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_number(left, values), _number(right, values))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return math.pow(_number(left, values), _number(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, values)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _number(operand, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
            return _COMPARED[type(op)](_value(left, values), _value(right, values))
        case ast.BoolOp(op=op, values=parts):
            found = [bool(_value(part, values)) for part in parts]
            return all(found) if isinstance(op, ast.And) else any(found)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_number(part, values) for part in parts))
    raise ValueError(
        f"'{ast.unparse(node)}' is not allowed; there are + - * / **, comparisons, 'a if b else c', and the functions "
        f"{', '.join(FUNCTIONS)}"
    )


def _number(node: ast.AST, values: Values) -> float:
    value = _value(node, values)
    if isinstance(value, str):
        raise ValueError(f"'{ast.unparse(node)}' is a word, and no number to compute with")
    return float(value)


def filled(data: Any, values: Values) -> Any:
    """Plain data with the expressions in its texts evaluated; raises ValueError.

    >>> filled(["{x + 1} mm", 3], {"x": 1.5})
    ['2.5 mm', 3]
    """
    if isinstance(data, str):
        return _BRACES.sub(lambda found: _text(evaluate(found[1], values)), data)
    if isinstance(data, list):
        return [filled(item, values) for item in data]
    if isinstance(data, dict):
        return {key: filled(item, values) for key, item in data.items()}
    return data


def names_in(data: Any) -> set[str]:
    """The names that the expressions of plain data use."""
    if isinstance(data, dict):
        return set().union(*(names_in(item) for item in data.values()))
    if isinstance(data, list):
        return set().union(*(names_in(item) for item in data))
    if not isinstance(data, str):
        return set()
    found: set[str] = set()
    for expression in _BRACES.findall(data):
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except (SyntaxError, RecursionError):
            continue
        found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - FUNCTIONS.keys()
    return found


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"
