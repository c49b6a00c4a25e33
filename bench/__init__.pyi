from bench import metrics as metrics
from bench.api.dataset import as_dataset as as_dataset
from bench.api.result import Run as Run
from bench.api.result import load as load
from bench.api.run import run as run
from bench.method import Method as Method

__version__: str
__all__: list[str]
