"""Activations of language models: where they are read, how they are stored and streamed.

`tokens.pack` makes contexts of text. `dump.dump_activations` fills a store from them in one pass of
a model. `store.Store` reads it, also as a lazy dask array. `stream.ActivationStream` shuffles it
for training. `hookpoints.splice` puts reconstructions back into the model.
"""
