"""Ten situations that an application must bear, each with its objectives, and one report."""
