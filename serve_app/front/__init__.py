"""What stands between the door and the models: steps that a request takes, each of them optional."""
