# SPDX-License-Identifier: BSD-2-Clause
"""Runs one YoWASP tool with a deep stack: ``python yowasp.py MODULE FUNCTION ARGUMENTS``.

WebAssembly code gets 512 KiB of stack by default, and yosys, which walks netlists recursively,
needs more on large designs ("call stack exhausted").
"""

import importlib
import sys
import threading

import wasmtime
import yowasp_runtime
from wasmtime import _bindings

_STACK_BYTES = 256 << 20


class _DeepStackConfig(wasmtime.Config):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        # The engine refuses a stack larger than that of its (here unused) asynchronous calls.
        _bindings.wasmtime_config_async_stack_size_set(self.ptr(), 2 * _STACK_BYTES)
        self.max_wasm_stack = _STACK_BYTES


def main(argv: list[str]) -> int:
    """Runs ``argv[0].argv[1](argv[2:])`` and returns its exit status."""
    # The runtime offers no way to hand it a configuration, but looks the class up at each call;
    # it runs the tool on a thread of its own, which must hold the whole stack.
    yowasp_runtime.wasmtime.Config = _DeepStackConfig
    threading.stack_size(2 * _STACK_BYTES)
    module, function, *arguments = argv
    status: int = getattr(importlib.import_module(module), function)(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
