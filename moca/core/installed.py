"""Which packages are installed, in which version."""

from __future__ import annotations

import importlib.metadata

CORE = (
    *("torch", "numpy", "scipy", "av", "faiss-cpu", "scikit-learn", "opencv-python-headless", "pillow"),
    *("transformers", "accelerate", "safetensors", "huggingface_hub", "platformdirs", "rich", "tensorboard", "typer"),
)
EXTRAS = {
    "notebooks": "nbclient",
    "app": "gradio",
    "dev": "pytest",
    "upstream": "segment-anything",
    "gpu": "faiss-gpu-cu12",
}


def packages() -> dict[str, str | None]:
    """Installed version of every core package, None where it is missing."""
    return {name: version_of(name) for name in CORE}


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
