"""Errors a user can act on: each message says what was wrong, where, and what to do."""


class PromptInfillError(Exception):
    """Wrong use or wrong input. The command line prints it in one line and exits with code 2."""


class TemplateError(PromptInfillError):
    """A template does not parse, or is rendered with the wrong fields or fillings."""


class DataError(PromptInfillError):
    """A record or a file of records is broken; the message names file:line."""


class ModelError(PromptInfillError):
    """A checkpoint cannot be opened as a masked diffusion language model."""


class RecipeError(PromptInfillError):
    """A training recipe has an unknown key or a value out of range."""


class TaskError(PromptInfillError):
    """A task is unknown, or its data is absent or malformed."""


class NoCandidateError(PromptInfillError):
    """Infilling drew candidates, and none of them was usable."""
