"""NumPy and PyTorch for the tests of models/centerpoint's Python; the test is skipped (exit status 77) where they are
missing. The project's own packages can be imported afterwards.
"""
import os
import sys

try:
    import numpy
    import torch
except ImportError as missing:
    debian = "/usr/bin/python3"  # the only one that sees Debian's packages
    if os.path.exists(debian) and os.path.realpath(sys.executable) != os.path.realpath(debian):
        os.execv(debian, [debian, *sys.argv])
    print(f"SKIPPED: {missing} (Debian: python3-torch, python3-numpy)")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
