"""Training-free comparison methods behind the same `Method` protocol as `moca.Segmenter`."""
