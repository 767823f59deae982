"""Claims that were written down before a study, judged by its tables: a module a paper."""
