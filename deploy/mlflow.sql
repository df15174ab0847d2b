-- MLflow's tables of versions and Optuna's have one name: they cannot share a database.
CREATE DATABASE mlflow;
