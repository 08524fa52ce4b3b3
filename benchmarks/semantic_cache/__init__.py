"""The semantic cache on paraphrases and near misses."""
