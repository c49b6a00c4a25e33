"""What the core's tests share besides fixtures."""

from pathlib import Path

from bench.results.records import TrialSpec
from bench.task import Seeds

PLUGIN = Path(__file__).with_name("toy_plugin.py")
SPEC = TrialSpec(
    task="t",
    task_version="1",
    track="a",
    dataset="d",
    dataset_digest="0",
    method="m",
    role="method",
    implementation="port",
    method_digest="1",
    environment_digest="2",
    params={"k": 1},
    seeds=Seeds(),
)
