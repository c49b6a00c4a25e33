import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_LATER_BLOCK = """
import resource
import torch
from bench.methods.nn.kernels.cpu_tensors import keep_freed_memory

for prepare in (lambda: None, keep_freed_memory):
    prepare()
    for _ in range(25):  # glibc before 2.38 finds freed aligned blocks again after some ten of them only
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(16 * 2**20)  # 64 MB
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_serves_the_next_tensor():
    command = [sys.executable, "-c", FAULTS_OF_A_LATER_BLOCK]
    untold, told = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert told < 100 < untold
