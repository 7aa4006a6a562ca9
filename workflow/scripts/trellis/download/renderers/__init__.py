"""One renderer per shape of row: a module with the model `Shape` and `render(native_id, row) -> Raw | str`.

`Shape` names the columns that are read: those without a default must be there, though they may be null where the type
says so. A row that does not fit is counted as `malformed`. `render` gives the document, or the reason for which the row
is set aside, as one of the contract's words in `trellis.download`. It is a pure function of the row and of where it
stands (`native_id`: the file's path, a colon, the row's number): no clock, no random numbers.

A renderer that takes one column of text as it is names it in `TEXT`, and in `BESIDE` the columns that go to meta as they
are, with their names there: whole columns need no Python object for each text. Its `render` must give the same.
"""

import math
from typing import Any


def scalars(**values: Any) -> dict[str, Any]:
    """What a document's meta can hold of these values: the strings, finite numbers and truth values."""
    return {name: value for name, value in values.items() if is_scalar(value)}


def is_scalar(value: Any) -> bool:
    """Whether a value is a string, a finite number or a truth value."""
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
