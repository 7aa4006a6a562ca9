"""Who answers: a module per backend, named in the config.

Each has `label(backend, questions, tolerated) -> (answers, account)`: the answers in the order of the questions, and what
the run took, for the manifest's `run`. A labeller may give up, with a TrellisError, once more than `tolerated` questions
have failed.
"""
