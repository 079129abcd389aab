"""How state machines are run."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run(machine: Callable[[], RuleBasedStateMachine], examples: int, steps: int, *, shrinks: bool = True) -> None:
    """Run so many examples of at most so many steps; one that fails is told as it is, or made small first."""
    given = settings(
        phases=set(Phase) if shrinks else {Phase.reuse, Phase.generate},
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=given)
