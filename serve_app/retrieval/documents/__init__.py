"""From a document's bytes to the pieces that are embedded: loaders, and chunking."""
