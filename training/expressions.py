"""The small language of rules that a person edits: numbers, names and what is said of them.

An expression has numbers and names, ``+ - *``, comparisons, ``and``, ``or``, ``not``, ``known(x)``
and ``first_known(x, y)``; nothing else, and nothing of it is ever run as Python. A comparison with
what is unknown (NaN) does not hold, whichever way it is turned; ``not`` turns that round.

>>> names = {"recency_days": "number", "silent_days": "number"}
>>> silent = parse("recency_days > silent_days", names)
>>> silent.kind, sorted(silent.names)
('truth', ['recency_days', 'silent_days'])

It is bound once to what is the same for everybody, and then asked of one customer or of many:

>>> asked = silent.bind({"silent_days": 91.0})
>>> asked({"recency_days": 92.0}), asked({"recency_days": np.array([92.0, 91.0, np.nan])})
(True, array([ True, False, False]))
>>> parse("not recency_days != 3", names).bind({})({"recency_days": np.nan})
True

What cannot be meant is refused with the remedy:

>>> parse("recency_day > 3", names)
Traceback (most recent call last):
...
training.expressions.ExpressionError: recency_day is unknown; did you mean recency_days?
>>> parse("recency_days or silent_days", names)
Traceback (most recent call last):
...
training.expressions.ExpressionError: recency_days is a number; compare it with something
>>> parse("__import__('os')", names)
Traceback (most recent call last):
...
training.expressions.ExpressionError: there is no __import__(...); there are known(x) and \
first_known(x, y)
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import Any, Literal

import numpy as np

Kind = Literal["number", "truth"]
Ask = Callable[[Mapping[str, Any]], Any]
"""Give it values by name, floats or float64 arrays of one length: it gives one or as many."""

LONGEST = 2_000
DEEPEST = 40
_CALLS = "there are known(x) and first_known(x, y)"
_SHOWN = 60


class ExpressionError(ValueError):
    """Text that is no expression; the message says what is wrong and what to write."""


@dataclass(frozen=True)
class Expression:
    """Something that can be asked of customers.

    Attributes
    ----------
    kind
        What it gives: a number, or a truth.
    names
        What it speaks of.
    """

    kind: Kind
    names: frozenset[str]
    _make: Callable[[Mapping[str, float]], Ask]
    _size: int = 1

    def bind(self, constants: Mapping[str, float]) -> Ask:
        """Put in what is the same for everybody, and make it ready to be asked."""
        if self.names <= constants.keys():
            value = self._make(constants)({})
            return lambda values: value
        return self._make(constants)


def parse(text: str, names: Mapping[str, Kind | Expression]) -> Expression:
    """Read an expression.

    Parameters
    ----------
    names
        What it can speak of: kinds of values, and expressions that have a name.

    Raises
    ------
    ExpressionError
        It cannot be read, or cannot be meant.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"it is longer than {LONGEST} characters; give its parts names")
    try:
        # As in parentheses, so that it may go over several lines.
        tree = ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError(
            f"{_short(text)} cannot be read; write comparisons such as recency_days > silent_days, "
            "joined by and, or, not"
        ) from None
    return _Reader(names).read(tree, 0)


class _Reader:
    """Turns Python's tree of a text into an expression, and refuses what is not of the language."""

    def __init__(self, names: Mapping[str, Kind | Expression]) -> None:
        self._names = names

    def read(self, node: ast.expr, depth: int) -> Expression:
        """Read a node and what is below it."""
        if depth > DEEPEST:
            raise ExpressionError("it is nested too deeply; give its parts names")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return _constant(float(value))
            case ast.Name(id=name):
                return self._name(name)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case _:
                return self._operation(node, depth)

    def _operation(self, node: ast.expr, depth: int) -> Expression:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                sides = [self._number(side, depth) for side in (left, right)]
                return _combined("number", sides, _pairwise(_ARITHMETIC[type(op)]))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _combined("number", [self._number(inner, depth)], _single(operator.neg))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return _combined("truth", [self._truth(inner, depth)], _single(_opposite))
            case ast.BoolOp(op=op, values=values):
                joined = operator.and_ if isinstance(op, ast.And) else operator.or_
                parts = [self._truth(value, depth) for value in values]
                return reduce(lambda a, b: _combined("truth", [a, b], _pairwise(joined)), parts)
        raise ExpressionError(
            f"{_told(node)} is not of the language: it has numbers, names, + - *, comparisons, "
            f"and, or, not; {_CALLS}"
        )

    def _name(self, name: str) -> Expression:
        meant = self._names.get(name)
        if meant is None:
            near = get_close_matches(name, self._names, n=1)
            remedy = f"did you mean {near[0]}?" if near else "use one that the file's head explains"
            raise ExpressionError(f"{name} is unknown; {remedy}")
        if isinstance(meant, Expression):
            return meant
        return Expression(meant, frozenset([name]), lambda constants: _looked_up(name, constants))

    def _comparison(self, node: ast.Compare, depth: int) -> Expression:
        sides = [self._number(side, depth) for side in (node.left, *node.comparators)]
        parts = []
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if type(op) not in _COMPARISONS:
                raise ExpressionError(f"{_told(node)} is no comparison; use < <= > >= == !=")
            parts.append(_combined("truth", [left, right], _pairwise(_COMPARISONS[type(op)])))
        return reduce(lambda a, b: _combined("truth", [a, b], _pairwise(operator.and_)), parts)

    def _call(self, node: ast.Call, depth: int) -> Expression:
        called = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if called not in ("known", "first_known"):
            raise ExpressionError(f"there is no {called}(...); {_CALLS}")
        wanted = 1 if called == "known" else 2
        if len(node.args) != wanted or node.keywords:
            raise ExpressionError(f"{called} is asked of {wanted}; {_CALLS}")
        parts = [self._number(one, depth) for one in node.args]
        if called == "known":
            return _combined("truth", parts, _single(_known))
        return _combined("number", parts, _pairwise(_first_known))

    def _number(self, node: ast.expr, depth: int) -> Expression:
        return self._of_kind("number", node, depth)

    def _truth(self, node: ast.expr, depth: int) -> Expression:
        return self._of_kind("truth", node, depth)

    def _of_kind(self, kind: Kind, node: ast.expr, depth: int) -> Expression:
        found = self.read(node, depth + 1)
        if found.kind == kind:
            return found
        if kind == "truth":
            raise ExpressionError(f"{_told(node)} is a number; compare it with something")
        raise ExpressionError(f"{_told(node)} is true or false, and stands where a number belongs")


def _constant(value: float) -> Expression:
    return Expression("number", frozenset(), lambda constants: lambda values: value)


def _looked_up(name: str, constants: Mapping[str, float]) -> Ask:
    if name in constants:
        value = constants[name]
        return lambda values: value
    return operator.itemgetter(name)


Joined = Callable[[list[Ask]], Ask]


def _combined(kind: Kind, parts: list[Expression], joined: Joined) -> Expression:
    names = frozenset[str]().union(*(part.names for part in parts))
    # A name stands for all that it means: names of names could mean more than can be asked.
    size = sum(part._size for part in parts)
    if size > LONGEST:
        raise ExpressionError("it means too much, with all that its names stand for; say less")
    return Expression(
        kind, names, lambda constants: joined([part.bind(constants) for part in parts]), size
    )


def _pairwise(function: Callable[[Any, Any], Any]) -> Joined:
    def joined(parts: list[Ask]) -> Ask:
        left, right = parts
        return lambda values: function(left(values), right(values))

    return joined


def _single(function: Callable[[Any], Any]) -> Joined:
    def joined(parts: list[Ask]) -> Ask:
        (inner,) = parts
        return lambda values: function(inner(values))

    return joined


def _opposite(truth: Any) -> Any:  # noqa: ANN401 - one or many
    return True ^ truth


def _known(number: Any) -> Any:  # noqa: ANN401
    return number == number  # noqa: PLR0124 - what is unknown is not even itself


def _first_known(first: Any, second: Any) -> Any:  # noqa: ANN401
    if isinstance(first, float):
        return first if first == first else second  # noqa: PLR0124
    return np.where(np.isnan(first), second, first)


def _unequal(left: Any, right: Any) -> Any:  # noqa: ANN401
    return (left < right) | (left > right)


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: _unequal,
}


def _told(node: ast.expr) -> str:
    return _short(ast.unparse(node))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
