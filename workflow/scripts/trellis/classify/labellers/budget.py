"""What labels cost: estimated before the first call, held below the limit throughout."""

from trellis.classify.labellers.cache import Reply
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI

# A rule of thumb for English and code, in UTF-8; the answers' own usage replaces it as they come.
BYTES_PER_TOKEN = 4


class Budget:
    """Dollars. `spent` counts every answer that the labels are made of, those from the cache too; `reserved` is the most
    that the requests on their way can cost."""

    def __init__(self, backend: OpenAI) -> None:
        self.backend = backend
        self.spent = self.reserved = 0.0
        self.open = 0

    def price(self, input_tokens: float, output_tokens: float) -> float:
        """What so many tokens cost; discounts for repeated input are not counted."""
        backend = self.backend
        return (
            input_tokens * backend.usd_per_million_input + output_tokens * backend.usd_per_million_output
        ) / 1_000_000

    def bound(self, size: int) -> float:
        """The most that a request of `size` bytes can cost: a token holds at least one byte."""
        return self.price(size, self.backend.max_output_tokens)

    def cost(self, reply: Reply, size: int) -> float:
        """What an answer cost; its bound where the endpoint keeps its usage to itself."""
        if reply.input_tokens is None or reply.output_tokens is None:
            return self.bound(size)
        return self.price(reply.input_tokens, reply.output_tokens)

    def fits(self, bound: float) -> bool:
        """Whether a request of that bound can be sent without ever passing the limit."""
        return self.spent + self.reserved + bound <= self.backend.max_usd

    def reserve(self, bound: float) -> None:
        """Before a request is sent."""
        self.open, self.reserved = self.open + 1, self.reserved + bound

    def release(self, bound: float) -> None:
        """When its answer is there, or will never be."""
        self.open -= 1
        self.reserved = self.reserved - bound if self.open else 0.0

    def check(self, estimate: float, requests: int) -> None:
        """Raises TrellisError when what is still to be asked is estimated to pass the limit."""
        if self.spent + estimate > self.backend.max_usd:
            raise TrellisError(
                f"classify: labels by {self.backend.model}: max_usd: {requests:,} requests are estimated at "
                f"{estimate:.2f} USD, with {self.spent:.2f} USD of answers that are there already; the limit is "
                f"{self.backend.max_usd:.2f} USD, and none of them was sent; sample fewer documents or raise it"
            )

    def exhausted(self) -> TrellisError:
        """The limit is reached in the middle of the work."""
        return TrellisError(
            f"classify: labels by {self.backend.model}: max_usd: they have cost {self.spent:.4f} USD, and one more answer "
            f"could pass the limit of {self.backend.max_usd:.4f} USD; what was answered is kept in {self.backend.cache}: "
            f"raise the limit and run again to go on from there"
        )
