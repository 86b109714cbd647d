"""The error that ends the program with one line in place of a traceback."""


class OneLineError(Exception):
    """An error that the user can correct. Its text says in one line what is wrong.

    Attributes:
        status: the exit status of the program: 2 for wrong usage, else 1.
    """

    status = 1
