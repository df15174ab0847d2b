"""The whole cycle as steps that can be stopped at any moment and gone on with."""
