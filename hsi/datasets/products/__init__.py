"""Satellite and airborne products: one file a product, and the table that recognises them."""
