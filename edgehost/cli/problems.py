"""Which of several errors to speak of."""

from __future__ import annotations


def first_problem(problem: BaseException) -> BaseException:
    """What a task group was left with: the first error that one of its tasks, or its block, ended with."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
