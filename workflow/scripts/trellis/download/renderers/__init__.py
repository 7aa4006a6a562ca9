"""One renderer per shape of row: the module's `COLUMNS` and `render(row) -> Raw | str`.

`COLUMNS` names the columns that the renderer reads, required ones first and optional ones in `OPTIONAL`; of a parquet file
no others are read. `row` is a dict of them (absent optional columns are None). The answer is a `Raw`, or the reason for
which the row is set aside, as one of the contract's words in `trellis.download`. A renderer is a pure function of the row:
no clock, no random numbers.
"""
