"""The rule of every suite here, by its conftest.py: in continuous integration (CI=true) a test that is skipped, for a missing tool or right,
fails. Only where a test by its nature does not apply may it be skipped there: its reason begins with "by design: "."""
import os
from collections.abc import Iterator

import pytest

IN_CI = os.environ.get("CI") == "true"


def judge(report: pytest.TestReport) -> None:
    """Has a report say so where its test should have run."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and "by design: " not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped where it should have run: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """For a conftest.py that has no such hook of its own: importing it there is enough."""
    judge((yield).get_result())  # type: ignore[attr-defined]
