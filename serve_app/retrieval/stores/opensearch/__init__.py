"""The store on an OpenSearch server, with the manifest and the writers' leases beside the chunks."""
