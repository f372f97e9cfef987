"""Model workers: the queue before the model, and the processes that hold it."""
