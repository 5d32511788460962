"""Simulation of the demo telemetry: drive cycles, vehicle, charging, battery pack, sensors and trips."""
