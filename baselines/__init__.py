"""Training-free comparison methods behind the same `Method` protocol as `moca.Segmenter`.

Each finds regions without training anything and keeps those that frozen models say belong to the sound. They plug in
through the entry points of the group "moca.methods"; nothing in `moca` imports them.
Source: MoCA (arXiv 2403.14203), section 4.1, "cross-modality semantic filtering".
"""
