"""What the ONNX comparisons share: their Python environment, and photos as a network of Octet's takes them."""
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ensure_environment():
    """Runs the program again in benchmarks/.venv (git-ignored), which the first run makes."""
    python = HERE / ".venv" / "bin" / "python"
    if Path(sys.prefix) == HERE / ".venv" or os.environ.get("OCTET_PYTHON_READY"):
        return
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(HERE / ".venv")])
        packages = ["onnx", "onnxruntime", "numpy", "pillow"]
        subprocess.check_call([str(python), "-m", "pip", "install", "-q", *packages])
    os.execv(str(python), [str(python), *sys.argv])


def octet(program, *arguments):
    return subprocess.run([program, *map(str, arguments), "--json", "--quiet"], check=True, capture_output=True).stdout


def preprocessing(program, model):
    """Octet's own choice for the file."""
    return json.loads(octet(program, "inspect", model))["preprocess"]


def photo_paths(folder, skip=0, limit=None, stride=1):
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp"))
    return paths[skip::stride][:limit]


def load(path, how):
    """The photo, of a size that leaves Octet nothing to resize."""
    from PIL import Image

    photo = Image.open(path).convert("RGB")
    crop, shorter = how["crop"], how["resize"]
    if shorter and min(photo.size) != shorter:
        scale = shorter / min(photo.size)
        photo = photo.resize([max(shorter, round(side * scale)) for side in photo.size], Image.BICUBIC)
    if not shorter and photo.size != (crop, crop):
        photo = photo.resize((crop, crop), Image.BICUBIC)
    return photo


def prepare(photo, how):
    """What Octet feeds its network: the centre of the photo, (p - mean) / std, [1, 3, crop, crop]."""
    import numpy as np

    pixels = np.asarray(photo, dtype=np.float32)
    crop = how["crop"]
    top, left = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
    pixels = pixels[top : top + crop, left : left + crop]
    mean, std = np.float32(how["mean"]), np.float32(how["std"])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]
