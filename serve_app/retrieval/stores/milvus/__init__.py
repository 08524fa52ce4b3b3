"""The store on Milvus: a server, or Milvus Lite in this process."""
