"""Judging choices loads no compiler."""

import subprocess
import sys


def test_judging_choices_does_not_load_torchs_compiler():
    code = (
        "import sys, explorer as ex\n"
        "from explorer.engine.compat import compatible\n"
        "for field in ('solver', 'prior', 'noise', 'rule', 'stop'):\n"
        "    assert None in compatible(ex.RunSpec(), field).values()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["False"]
