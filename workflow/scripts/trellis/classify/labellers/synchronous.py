"""Requests one by one, a bounded number at a time."""

import asyncio
from collections.abc import Iterator

from trellis.classify.labellers.budget import Budget
from trellis.classify.labellers.cache import Cache
from trellis.classify.labellers.endpoint import Endpoint, NoReply
from trellis.classify.labellers.request import Failures, Request
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI
from trellis.progress import Bar, bar


async def fulfil(
    requests: dict[str, Request], backend: OpenAI, cache: Cache, budget: Budget, failures: Failures
) -> None:
    """Every request ends in the cache or among the failures. Raises TrellisError when the budget is used up, and when the
    endpoint will not answer at all."""
    waiting = iter(requests.values())
    gate = asyncio.Condition()
    async with Endpoint(backend) as endpoint:
        with bar("labels", len(requests), "answer") as progress:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(backend.concurrency, len(requests))):
                        workers.create_task(_work(waiting, gate, endpoint, cache, budget, failures, progress))
            except* TrellisError as group:
                problem = group.exceptions[0]
            else:
                return
    raise problem


async def _work(
    waiting: Iterator[Request],
    gate: asyncio.Condition,
    endpoint: Endpoint,
    cache: Cache,
    budget: Budget,
    failures: Failures,
    progress: Bar,
) -> None:
    """Takes requests until none is left. What is on its way has time to arrive before the budget is called used up."""
    for request in waiting:
        bound = budget.bound(request.size)
        async with gate:
            while not budget.fits(bound):
                if not budget.open:
                    raise budget.exhausted()
                await gate.wait()
            budget.reserve(bound)
        try:
            reply = await endpoint.ask(request.body())
        except NoReply as error:
            failures.add(request.key, error.reason, str(error))
        else:
            cache.add(request.key, reply)
            failures.answered = True
            budget.spent += budget.cost(reply, request.size)
        finally:
            budget.release(bound)
            async with gate:
                gate.notify_all()
        progress.advance(note=f"{budget.spent:.2f} USD")
