"""One reader per shape of data: `read(archive: Archive) -> Iterator[Raw]`.

A reader names the members' shape as types, renders what fits, and lets the archive count what does not. It is a pure
function of the archive: no clock, no random numbers, no order that is not the members' own. Where a file mixes
licences, the reader holds the list of what is allowed; everything else in it is rejected as `not_allowed`.
"""
