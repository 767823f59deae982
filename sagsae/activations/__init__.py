"""Activations of language models: where they are read, how they are stored and streamed.

`pack` makes contexts of text. `dump_activations` fills a store from them in one pass of a model.
`Store` reads it, also as a lazy dask array. `ActivationStream` shuffles it for training. `splice`
puts reconstructions back into the model.
"""

from sagsae.activations.dump import DumpProgress as DumpProgress
from sagsae.activations.dump import dump_activations as dump_activations
from sagsae.activations.hookpoints import Hookpoint as Hookpoint
from sagsae.activations.hookpoints import default_hookpoints as default_hookpoints
from sagsae.activations.hookpoints import splice as splice
from sagsae.activations.layout import StoreConfig as StoreConfig
from sagsae.activations.layout import StoreError as StoreError
from sagsae.activations.layout import StoreLockedError as StoreLockedError
from sagsae.activations.reading import DumpSettings as DumpSettings
from sagsae.activations.reading import contexts_per_block as contexts_per_block
from sagsae.activations.store import Store as Store
from sagsae.activations.stream import ActivationStream as ActivationStream
from sagsae.activations.stream import iterate as iterate
from sagsae.activations.tokens import TokenStore as TokenStore
from sagsae.activations.tokens import load_tokens as load_tokens
from sagsae.activations.tokens import pack as pack
from sagsae.activations.tokens import save_tokens as save_tokens
from sagsae.activations.verify import verify_store as verify_store
from sagsae.activations.writer import StoreWriter as StoreWriter
