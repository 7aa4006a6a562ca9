"""What lies on the hub, wherever an experiment names it."""

from typing import Annotated

from pydantic import Field

from trellis.experiment.section import Section

RepoId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]


class OnHub(Section):
    """A repository and the branch, tag or commit that the lock resolves; a run reads the commit that is locked."""

    repo: RepoId
    revision: str = Field(default="main", min_length=1)
