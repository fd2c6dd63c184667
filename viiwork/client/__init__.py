"""VIIWork from Python, over HTTP: `with Client() as client: client.analyze("letters/", task="summarize")`."""

from viiwork.client.client import AsyncClient, Client
from viiwork.client.handles import Analysis, AsyncAnalysis
from viiwork.client.keys import new_key
from viiwork.client.uploads import OnUpload

__all__ = ["Analysis", "AsyncAnalysis", "AsyncClient", "Client", "OnUpload", "new_key"]
