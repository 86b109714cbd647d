"""What ends the program with one line in place of a traceback."""


class OneLineError(Exception):
    """Something that its user can mend; its text says in one line what is wrong.

    Attributes:
        status: the exit status of a program that it ends, 2 for wrong usage and 1 for the rest.
    """

    status = 1
