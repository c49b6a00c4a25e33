"""What the core's tests share besides fixtures."""

from pathlib import Path

PLUGIN = Path(__file__).with_name("toy_plugin.py")
