"""Who is asking: nobody in particular, whom a proxy names, or whom an OpenID provider names."""
