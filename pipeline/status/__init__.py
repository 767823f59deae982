"""What a study is doing, from its files."""
