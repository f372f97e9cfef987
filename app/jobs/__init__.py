"""Studies that wait to be reported on, kept in a database until somebody fetches what came out."""
