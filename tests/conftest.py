"""What every test runs under: one thread, no denormals, and a browser or a GPU only where there is one."""

import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels and other child processes inherit it

import pytest
import torch

# Threads and denormals can each slow a solver tenfold, and more threads change the last bits of a sum.
torch.set_num_threads(1)
torch.set_flush_denormal(True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` on a machine without a CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium; without one the test is skipped, or fails where EXPLORER_REQUIRE_BROWSER is set."""
    path = shutil.which("chromium")
    if path is None:
        refuse = pytest.fail if os.environ.get("EXPLORER_REQUIRE_BROWSER") else pytest.skip
        refuse("needs chromium on the PATH (Debian: apt-get install chromium)")
    return path
