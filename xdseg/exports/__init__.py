"""Predictions as the test servers of data sets want them: one small module per server."""
