"""Tables of a study, each declared beside the function that makes it."""

# Modules in the order of the report; others follow by name.
ORDER = "cells comparison contrasts latents sources effects dial probing signs ranking"
