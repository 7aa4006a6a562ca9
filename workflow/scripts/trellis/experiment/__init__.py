"""The experiment, as typed definitions: one module per section of `config/experiments/*.yaml`.

A stage imports only the module of its own section, so that a new key for one stage leaves the code of the others, and with
it their fingerprints, as they were. `experiment.whole` puts the sections together and checks what spans them.
"""
