"""Where chunks are kept: one contract (`serve_app.retrieval.base.Store`), one room for each store."""
