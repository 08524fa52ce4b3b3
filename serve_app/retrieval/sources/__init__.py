"""Where documents come from: folders, buckets, web sites; and how a source is brought into a base."""
