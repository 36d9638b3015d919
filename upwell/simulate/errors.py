"""What can be wrong with what the lab is given: one line that says where, and one that says what would be right."""

__all__ = ["InputError"]


class InputError(ValueError):
    """An input cannot be used; the text names it, by file and line or option, `hint` says what would be right."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint
