"""One test that looks at many values: what pytest does for a test of its own takes longer than most such looks."""

import functools
import inspect


def each(values, name=str):
    """Call the test with each value as its first argument, and fail with everything that it raised, under the values' names.

    Its fixtures are made once: use it where the test changes nothing that the next value meets.
    """

    def decorate(test):
        signature = inspect.signature(test)

        @functools.wraps(test)
        def test_all(**fixtures):
            failures = []
            for value in values:
                try:
                    test(value, **fixtures)
                except Exception as failure:
                    failure.add_note(f"with {name(value)}")
                    failures.append(failure)
            assert values, "nothing to look at"
            if failures:
                raise ExceptionGroup(f"{len(failures)} of {len(values)} failed", failures)

        # Pytest asks for the fixtures that are named here.
        test_all.__signature__ = signature.replace(parameters=[*signature.parameters.values()][1:])
        return test_all

    return decorate
