"""One fold's training and prediction: models, weights, the loop, checkpoints, views."""
