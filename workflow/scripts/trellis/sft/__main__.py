"""`python -m trellis.sft --spec SPEC --out DIR`: runs the command that the spec names."""

from trellis.command import main

main("sft")
