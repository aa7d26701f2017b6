"""Every error that a user can cause or meet, with the exit code it ends in.

    AaamError (1: the work failed)
    |-- UsageError (2: a wrong option, path or value)
    |   |-- ParamsError          params.yaml holds an unknown or unfit value
    |   |-- UnknownLabelError    a query word that is not in the vocabulary
    |   |-- QuerySyntaxError     a query that cannot be parsed: three lines, with a caret under the error
    |   `-- DeviceError          a device was asked for that is not there
    |-- FailureRateError (3: finished, with more failures than --max-failure-rate)
    |-- MissingFilesError (3: finished, but files of many rows are not found; the rows stay)
    |-- IntegrityError (4: a file is not what its manifest says, or not of this kind at all)
    |   `-- VersionError (1)     it is whole, but of another version of this program, or of a library that wrote it
    |-- DatasetError             a data set's files are missing or damaged
    |-- TrainingError            training cannot continue (not a number, no examples)
    `-- ImageError               one image cannot be decoded: becomes a `failed` row, never an exit

Anything else that escapes is a defect of this program (exit code 1, traceback with `--debug`). Ctrl-C ends in 130.
"""

import errno


class AaamError(Exception):
    """The base: its text is one line that says what is wrong and what to do."""

    exit_code = 1


class UsageError(AaamError):
    """A wrong option, path or value on the command line."""

    exit_code = 2


class ParamsError(UsageError):
    """`params.yaml` holds an unknown or unfit value."""


class UnknownLabelError(UsageError):
    """A query word is not a label."""


class QuerySyntaxError(UsageError):
    """A query cannot be parsed; its text has two lines more, the query and a caret under the error."""


class DeviceError(UsageError):
    """The device asked for is not there."""


class FailureRateError(AaamError):
    """The run finished, but more images failed than the budget allows."""

    exit_code = 3


class MissingFilesError(AaamError):
    """The run finished, but pictures are not found where a disk may not be mounted; their rows stay."""

    exit_code = 3


class IntegrityError(AaamError):
    """A file is damaged, or not what it is taken for."""

    exit_code = 4


class VersionError(IntegrityError):
    """A file is whole, but another version of this program, or of a library that wrote it, is needed to read it."""

    exit_code = 1


class DatasetError(AaamError):
    """A data set's files are missing or damaged."""


class TrainingError(AaamError):
    """Training cannot continue."""


class ImageError(AaamError):
    """One image cannot be decoded.

    `kind` is the `error_type` of its annotation row: one of `empty_file`, `not_an_image`, `unsupported` (a known format
    or kind of one that is not read), `truncated` (rows are missing), `damaged`, `too_large`, `unreadable`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """Pickle with both arguments: decoding processes send it."""
        return type(self), (self.kind, str(self))


def from_system(error: Exception) -> bool:
    """Return whether an error is of a disk or a permission, and not of what a file holds or that there is none."""
    return isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
