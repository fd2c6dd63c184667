"""`llama-server` for machines where there is none: llama.cpp's own C++ server, out of the wheel `xllamacpp`.

It takes the options that our recipe gives, and refuses others as the real program does. `make llama-cpp` puts it on the
PATH of the tests that want a real llama.cpp.
"""

import argparse
import os
import sys
import threading

import xllamacpp


def read_options() -> argparse.Namespace:
    """Those of the recipe `llama-cpp`."""
    parser = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    for name in ("--model", "--alias", "--host"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--parallel", "--ctx-size", "--n-gpu-layers"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--jinja", "--metrics", "--no-slots", "--no-webui", "--offline"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args()


def parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    """The same in the words of the library."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = options.model, {options.alias}
    params.hostnames, params.port = [options.host], options.port
    params.n_parallel, params.n_ctx, params.n_gpu_layers = options.parallel, options.ctx_size, options.n_gpu_layers
    params.use_jinja, params.endpoint_metrics = options.jinja, options.metrics
    params.endpoint_slots, params.ui, params.offline = not options.no_slots, not options.no_webui, options.offline
    params.api_keys = [os.environ["LLAMA_API_KEY"]]
    threads = int(os.environ.get("LLAMA_ARG_THREADS", "1"))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    return params


def main() -> int:
    """Serve until a signal ends the process."""
    options = read_options()
    try:
        server = xllamacpp.Server(parameters(options))  # returns once it listens; its threads live as long as it does
    except RuntimeError as error:
        print(f"llama-server: {error}", file=sys.stderr)
        return 1
    threading.Event().wait()
    del server
    return 0


if __name__ == "__main__":
    sys.exit(main())
