"""Errors that a caller tells apart; each message is one sentence that names the remedy."""

from __future__ import annotations


class LifecycleError(Exception):
    """Something that the user can mend: the message says what is wrong and what to do."""


class InputError(LifecycleError):
    """A file, a column or an argument cannot be what it claims to be."""


class NotEnoughData(LifecycleError):
    """The data is well formed but too short, too small or too uniform for the task."""


class WorkspaceError(LifecycleError):
    """The workspace lacks something, is of another version, or is in use."""


class Busy(WorkspaceError):
    """Another process writes in the workspace at this moment."""


class ServerError(LifecycleError):
    """A server that the settings name does not answer, or not as it should."""


class ConflictError(LifecycleError):
    """A name that was given to one thing is given to another."""
