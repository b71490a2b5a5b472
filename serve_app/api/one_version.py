"""One answer, one version of the skill models: what a promotion fell into is asked again.

Rows that are read together in a replica are of one version anyway. A large call may be cut, and its parts may be read
before and after a switch, or by a replica that has not switched yet. Replicas keep the version before for a minute, so
all rows can be asked again for one of the versions that the answer has.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from deployments.call import Answer
from serve_app.api.subjects import model_versions, versions_of

Ask = Callable[[Mapping[str, Any]], Awaitable[Answer]]


async def of_one_version(ask: Ask) -> Answer:
    """``ask(options)``: ask for all rows, with these options besides its own. The first answer stands where no version can
    answer every row that it has answered."""
    answer = await ask({})
    if len(mixed := model_versions(answer)) > 1:
        computed = _computed(answer)
        for version in mixed:
            again = await ask({"version": version})
            if model_versions(again) == [version] and computed <= _computed(again):
                return again
    return answer


def _computed(answer: Answer) -> set[int]:
    """The rows that a model has answered."""
    return {place for place, value in enumerate(answer.values) if value and versions_of(value)}
