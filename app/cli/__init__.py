"""The command `crossray`, one file a group of commands."""

import os

# numpy reads it when it is loaded. Its products are small here: where cores are busy its threads
# wait for one another, which took a third of a batch's processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
