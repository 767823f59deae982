"""Language models and text: fetched, checked, made ready, tokenised."""
