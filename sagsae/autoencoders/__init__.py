"""Sparse autoencoders: ``base`` says what each is, ``gate`` what the gated ones share, ``registry``
knows them by name, ``storage`` builds and loads them.
"""
