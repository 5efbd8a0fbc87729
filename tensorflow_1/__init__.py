"""What scripts for TensorFlow 1 use and TensorFlow 2 has no more; tf1.py hands it out.

Nothing of ours is imported late here: once a script runs, `common` or `input_data` may
be a file of its own.
"""
