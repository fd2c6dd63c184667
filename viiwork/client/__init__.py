"""VIIWork from Python, over HTTP: `with Client() as client: client.analyze(["a.pdf"], task="summarize")`."""

from viiwork.client.client import Client
from viiwork.client.keys import new_key
from viiwork.client.uploads import OnUpload

__all__ = ["Client", "OnUpload", "new_key"]
