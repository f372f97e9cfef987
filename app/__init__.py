"""Where people and hospitals use CrossRay: command line, service, page, batch."""
