"""The numbers of a fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Self

import numpy as np


class Parameters:
    """Positive, finite parameters of a frozen dataclass, to and from a JSON-ready dict."""

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if not (np.isfinite(value) and value > 0):
                msg = f"{type(self).__name__}.{name} must be a positive number, not {value!r}"
                raise ValueError(msg)

    def to_dict(self) -> dict[str, float]:
        """Give the parameters by name, as plain floats."""
        return {name: float(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, parameters: Mapping[str, float]) -> Self:
        """Restore what `to_dict` gave; a missing or unknown name is a ValueError."""
        expected = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if set(parameters) != set(expected):
            msg = f"{cls.__name__} takes exactly {expected}, not {sorted(parameters)}"
            raise ValueError(msg)
        return cls(**{name: float(parameters[name]) for name in expected})
