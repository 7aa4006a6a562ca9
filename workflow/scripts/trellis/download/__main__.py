"""`python -m trellis.download --spec SPEC --out DIR`: runs the command that the spec names."""

from trellis.command import main

main("download", online=True)
