"""Compiles and loads a CUDA device that does nothing. To be imported before torch, which looks once which devices there are.

Without a device guard torch refuses to write into a tensor of that device, and without hooks to run a backward pass.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import tempfile
from pathlib import Path


def load() -> Path:
    """The library, loaded after those of torch that it refers to."""
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    home = Path(found.origin).parent
    made = Path(tempfile.mkdtemp()) / "device.so"
    source = Path(__file__).with_name("simulated_cuda.cpp")
    libraries = ("c10", "torch_cpu")
    flags = ["-shared", "-fPIC", "-std=c++20", f"-I{home}/include", f"-L{home}/lib", *(f"-l{name}" for name in libraries)]
    subprocess.run(["g++", str(source), "-o", str(made), *flags], check=True)
    for name in libraries:
        ctypes.CDLL(f"{home}/lib/lib{name}.so", mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(made))
    return made


LOADED = load()
