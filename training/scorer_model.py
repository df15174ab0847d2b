"""The scorer bundle as an MLflow model: code by reference, files as plain text, no pickle.

MLflow executes this file when it logs and when it loads the model ("models from code").
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from features import catalogue
from features.matrix import matrix_of
from training.bundle import NUMBERS, ScorerBundle

OUTPUTS = NUMBERS


class ScorerModel(PythonModel):  # type: ignore[misc]
    """Predicts from the features of the catalogue, by name."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle beside the model."""
        self.bundle = ScorerBundle.load(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,
    ) -> pd.DataFrame:
        """Give the columns of :data:`OUTPUTS` for each row; categories are given as text."""
        table = pa.Table.from_pandas(model_input[list(catalogue.NAMES)], preserve_index=False)
        answers = self.bundle.predict(matrix_of(table, self.bundle.vocabulary))
        return pd.DataFrame(answers.numbers(), index=model_input.index)


set_model(ScorerModel())
