"""The REST API: requests, the queue before the model, answers, problems, metrics."""
