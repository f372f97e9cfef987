"""Studies, drafts and their versions, kept: a database, and a folder of image files beside it."""
