"""Scripts that train what is shipped under weights/mini; each prints what it measured and writes a model card."""
