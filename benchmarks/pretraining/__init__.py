"""The contenders of benchmarks/pretrain.py, each of which trains the same model on the same rows in a process of its own."""
