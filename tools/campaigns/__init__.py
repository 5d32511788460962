"""Fault campaigns: whole models under kills, failing disks, changed bytes and crowds. ``make campaigns`` runs them all.

Each module has ``main(argv) -> int``: it prints a table with its figures and answers 1 where a fault was found.
"""
